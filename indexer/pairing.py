"""Which store and which manifest belong together, and to which data folder.

A store or a manifest that was restored from a backup may hold as many points as its other half and
still other ones. So both carry a stamp that is renewed while they are written: other stamps mean
that every id has to be compared. And two data folders that write to one collection on a server
would each delete what only the other one's folders hold: so the collection says whose it is.
"""

import time
from typing import Protocol
from uuid import uuid4

from backends.collection_writer import Writer
from errors import StoreLocked
from indexer.manifest import Manifest

_STAMP = "stamp"
_LASTS_S = 60
"""How old a stamp may be when something is written: a backup of this minute passes for newer."""


class Half(Protocol):
    """What this needs of a vector store."""

    @property
    def is_shared(self) -> bool: ...
    @property
    def take_over(self) -> bool: ...
    async def writer(self) -> Writer | None: ...
    async def note_writer(self, writer: Writer) -> None: ...


async def belong_together(manifest: Manifest, store: Half) -> bool:
    """Whether the store was last written with this manifest.

    Raises:
        StoreLocked: another data folder keeps the collection up to date.
    """
    writer = await store.writer()
    ours = await manifest.data_folder()
    if writer and writer.data_folder != ours and store.is_shared and not store.take_over:
        raise StoreLocked(
            "This collection is kept up to date from another data folder, and two would delete "
            "each other's passages. Name another TANDEM_QDRANT__COLLECTION for this one. If the "
            "other folder is gone or retired, set TANDEM_QDRANT__TAKE_OVER=true for one run."
        )
    known = await manifest.fact(_STAMP)
    return writer == (Writer(ours, known) if known else None)


async def stamp(manifest: Manifest, store: Half, *, anew: bool = False) -> None:
    """Renews the stamp of both before something is written. A crash in between only costs time."""
    known = await manifest.fact(_STAMP) or ""
    if anew or not known or time.time() - float(known.partition(" ")[0]) > _LASTS_S:
        known = f"{time.time():.0f} {uuid4()}"
        await store.note_writer(Writer(await manifest.data_folder(), known))
        await manifest.remember(_STAMP, known)
