"""Which collection the configured name stands for, and the others that are kept behind it.

The configured name, ``documents``, is an alias. The collections behind it are numbered:

    documents            an alias of the live one, in which questions are searched
    documents-previous   an alias of the one that was live before; a rollback returns to it
    documents-3          any other numbered one is a shadow: being built, or left by a killed build

Both aliases change in one step. A collection that has the configured name for its own, made by hand
or by an earlier version, is used as it is.
"""

import re

from qdrant_client import models

from backends.vector_collection import Client, made_with, note
from errors import UsageError

_PREVIOUS = "-previous"


def live_collection(client: Client, name: str) -> str | None:
    """The collection that the name stands for; None where there is none yet.

    Without an alias it is the newest: a process was killed between making one and naming it.
    """
    if live := _aliases(client).get(name):
        return live
    if client.collection_exists(name):
        return name
    return max(numbered(client, name), key=_number, default=None)


def previous_collection(client: Client, name: str) -> str | None:
    """The collection that was live before; None where it is gone or never was."""
    previous = _aliases(client).get(name + _PREVIOUS)
    return previous if previous and client.collection_exists(previous) else None


def shadows(client: Client, name: str) -> list[str]:
    """The numbered collections that are neither live nor kept for a rollback."""
    known = {live_collection(client, name), previous_collection(client, name)}
    return [other for other in numbered(client, name) if other not in known]


def numbered(client: Client, name: str) -> list[str]:
    """The collections that Tandem made for this name."""
    pattern = re.compile(re.escape(name) + r"-\d+")
    found = [c.name for c in client.get_collections().collections if pattern.fullmatch(c.name)]
    return [other for other in found if (made_with(client, other) or {}).get("index") == name]


def next_name(client: Client, name: str) -> str:
    """A name for a new collection, after all that exist and all that ``note_name`` knows of.

    No number is ever given twice: a process that has not noticed a flip must not find another
    model's vectors under the name that it uses.
    """
    numbers = [_number(other) for other in numbered(client, name)]
    live = live_collection(client, name)
    if live is not None and client.collection_exists(live):
        numbers.append(int((made_with(client, live) or {}).get("newest", 0)))
    number = 1 + max(numbers, default=0)
    while client.collection_exists(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def note_name(client: Client, name: str, collection: str) -> None:
    """Remember with the live collection that a number was given away."""
    if live := live_collection(client, name):
        note(client, live, newest=str(_number(collection)))


def set_alias(client: Client, name: str, collection: str) -> None:
    """Let the name stand for its first collection, unless it does or is that one's own."""
    if collection != name and _aliases(client).get(name) != collection:
        client.update_collection_aliases(_naming(client, name, collection))


def flip_alias(client: Client, name: str, collection: str) -> None:
    """Make a collection the live one and keep what was: both in one step.

    Raises:
        UsageError: the live collection has the name for its own.
    """
    require_alias(client, name)
    live = live_collection(client, name)
    operations = _naming(client, name, collection)
    if live is not None and live != collection:
        operations += _naming(client, name + _PREVIOUS, live)
    client.update_collection_aliases(operations)


def require_alias(client: Client, name: str) -> None:
    """Refuse where the name is a collection's own.

    Raises:
        UsageError: says what to do.
    """
    if live_collection(client, name) == name:
        raise UsageError(
            f"The collection {name!r} has its name for its own, so no other can take its place "
            "without a gap. Set TANDEM_QDRANT__COLLECTION to a new name and run `tandem index` on "
            "your folders: from then on `tandem reindex` works. Nothing was changed."
        )


def _aliases(client: Client) -> dict[str, str]:
    return {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}


def _naming(client: Client, alias: str, collection: str) -> list[models.AliasOperations]:
    create = models.CreateAlias(alias_name=alias, collection_name=collection)
    operations: list[models.AliasOperations] = [models.CreateAliasOperation(create_alias=create)]
    if alias in _aliases(client):
        unwanted = models.DeleteAlias(alias_name=alias)
        operations.insert(0, models.DeleteAliasOperation(delete_alias=unwanted))
    return operations


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
