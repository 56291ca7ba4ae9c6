"""Who keeps a collection up to date, and the stamp of its last writing, noted in the collection."""

from typing import Any, NamedTuple

_METADATA_KEY = "tandem_writer"


class Writer(NamedTuple):
    """A data folder, and a stamp that it renews as it writes. Both are random."""

    data_folder: str
    stamp: str


def read_writer(client: Any, name: str) -> Writer | None:
    """Who wrote last; None where nobody has yet."""
    noted = (client.get_collection(name).config.metadata or {}).get(_METADATA_KEY)
    if not isinstance(noted, dict) or noted.keys() != set(Writer._fields):
        return None
    return Writer(**noted)


def note_writer(client: Any, name: str, writer: Writer) -> None:
    """Says who is about to write."""
    client.update_collection(name, metadata={_METADATA_KEY: writer._asdict()})
