"""What of the roots an index covers: the folders that were synced whole, and files named alone.

``tandem index notes.txt`` makes the file's folder a root, of which the index holds one file. Who
builds the index anew must not take in the rest of that folder.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from indexer.manifest import Manifest
from indexer.records import FileRecord
from indexer.roots import Scope

_FACT = "folders"


async def note_coverage(manifest: Manifest, scopes: Sequence[Scope]) -> None:
    """Remembers the folders among the scopes; writes only what is new."""
    known = await _folders(manifest)
    synced = await asyncio.to_thread(lambda: [s.path for s in scopes if s.path.is_dir()])
    now = _outermost([*known, *synced])
    if now != known:
        await manifest.remember(_FACT, json.dumps([str(folder) for folder in now]))


async def covered(manifest: Manifest) -> list[Path]:
    """The paths that a sync must be given to make the same index again.

    Roots are listed wherever they are; what is gone of the folders and files below is left out.
    """
    roots = [Path(root.path) for root in await manifest.roots()]
    folders = [f for f in await _folders(manifest) if any(f.is_relative_to(r) for r in roots)]
    alone: list[Path] = []
    for root in roots:
        if not any(root.is_relative_to(folder) for folder in folders):
            records = await manifest.files(str(root))
            alone += await asyncio.to_thread(_existing_outside, folders, root, records)
    there = await asyncio.to_thread(lambda: [f for f in folders if f in roots or f.exists()])
    return [*there, *alone]


def _existing_outside(
    folders: Sequence[Path], root: Path, records: Iterable[FileRecord]
) -> list[Path]:
    """A root's files that are in none of the folders."""
    paths = (root / record.path for record in records)
    return [p for p in paths if not any(p.is_relative_to(f) for f in folders) and p.exists()]


async def _folders(manifest: Manifest) -> list[Path]:
    return [Path(folder) for folder in json.loads(await manifest.fact(_FACT) or "[]")]


def _outermost(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in sorted(set(folders), key=lambda path: (len(path.parts), path)):
        if not any(folder.is_relative_to(outer) for outer in found):
            found.append(folder)
    return found
