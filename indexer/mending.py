"""The manifest made to mirror the store again after a crash, a wiped store or a lost manifest."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from indexer.manifest import Manifest

_SAMPLE = 32
_BATCH = 1_000


class Holdings(Protocol):
    """What this needs of a vector store."""

    async def count(self) -> int: ...
    async def vectors(self, ids: Sequence[str]) -> Mapping[str, Any]: ...
    def scroll(self) -> AsyncIterator[tuple[str, dict[str, Any]]]: ...


async def mend(manifest: Manifest, store: Holdings, fingerprint: str) -> bool:
    """Compares counts and a sample, and where they differ every id; True where it had to.

    Files with a missing or an unknown point become pending: the next sync of their folder puts
    them right, reusing what vectors there are. Nothing is written to the store.
    """
    if await _looks_alike(manifest, store, fingerprint):
        return False
    missing = await manifest.point_ids()
    unknown: list[tuple[str, dict[str, Any]]] = []
    foreign = 0
    async for point, metadata in store.scroll():
        if point in missing:
            missing.discard(point)
        elif metadata.get("root") and metadata.get("source"):
            unknown.append((point, metadata))
            if len(unknown) >= _BATCH:
                await manifest.adopt(unknown)
                unknown = []
        else:
            foreign += 1
    await manifest.adopt(unknown)
    await manifest.lose(sorted(missing))
    await manifest.remember("foreign points", str(foreign))
    await manifest.remember("fingerprint", fingerprint)
    return True


async def _looks_alike(manifest: Manifest, store: Holdings, fingerprint: str) -> bool:
    held, expected, foreign, known, sample = await asyncio.gather(
        store.count(),
        manifest.count(),
        manifest.fact("foreign points"),
        manifest.fact("fingerprint"),
        manifest.sample(_SAMPLE),
    )
    if known != fingerprint or held != expected + int(foreign or 0):
        return False
    return len(await store.vectors(sample)) == len(sample) if sample else True
