"""Other names of embedded collections, in one JSON file that is replaced in one step.

    <folder>/.aliases.json    {"aliases": {"documents": "documents-2"}}

It is read whenever a name is looked up that is no collection's own: another process may have
changed it.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qdrant_client import models

from backends.qdrant_edge.errors import folder_errors
from errors import StoreDamaged, UsageError

_FILE = ".aliases.json"  # a collection's name cannot begin with a dot


def read_aliases(folder: Path) -> dict[str, str]:
    """The collection that each alias stands for.

    Raises:
        StoreDamaged: the file cannot be read.
    """
    path = folder / _FILE
    try:
        with folder_errors(folder):
            content = path.read_bytes() if path.exists() else None
        if content is None:
            return {}
        aliases = json.loads(content)["aliases"]
        return {str(alias): str(name) for alias, name in aliases.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise StoreDamaged(
            f"{path} cannot be read. Move it away and run the command again: the newest collection "
            "beside it is used then, and the next sync puts it right."
        ) from exc


def write_aliases(folder: Path, aliases: Mapping[str, str]) -> None:
    """Replace all aliases; after a kill there are the old ones or the new ones."""
    new = folder / f"{_FILE}.new"
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            json.dump({"aliases": dict(aliases)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / _FILE)


def changed_aliases(
    aliases: Mapping[str, str],
    operations: Sequence[models.AliasOperations],
    is_collection: Callable[[str], bool],
) -> dict[str, str]:
    """The aliases after all operations.

    Raises:
        UsageError: one of them cannot be carried out; then none is.
    """
    changed = dict(aliases)
    for operation in operations:
        match operation:
            case models.CreateAliasOperation(create_alias=wanted):
                if not is_collection(wanted.collection_name):
                    raise UsageError(f"There is no collection {wanted.collection_name!r}.")
                _require_free(wanted.alias_name, is_collection)
                changed[wanted.alias_name] = wanted.collection_name
            case models.DeleteAliasOperation(delete_alias=unwanted):
                changed.pop(unwanted.alias_name, None)
            case models.RenameAliasOperation(rename_alias=names):
                _require_free(names.new_alias_name, is_collection)
                if names.old_alias_name not in changed:
                    raise UsageError(f"There is no alias {names.old_alias_name!r}.")
                changed[names.new_alias_name] = changed.pop(names.old_alias_name)
            case _:
                raise UsageError(f"{type(operation).__name__} does not change aliases.")
    return changed


def describe_aliases(aliases: Mapping[str, str]) -> models.CollectionsAliasesResponse:
    """Aliases as the client returns them."""
    return models.CollectionsAliasesResponse(
        aliases=[
            models.AliasDescription(alias_name=alias, collection_name=name)
            for alias, name in aliases.items()
        ]
    )


def _require_free(alias: str, is_collection: Callable[[str], bool]) -> None:
    if is_collection(alias):
        raise UsageError(f"{alias!r} is a collection's own name: no alias can have it.")
