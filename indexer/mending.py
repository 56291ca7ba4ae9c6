"""The manifest made to mirror the store again after a crash, a wiped store or a lost manifest."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from indexer import pairing
from indexer.manifest import Manifest

_SAMPLE = 32
_BATCH = 1_000


class Holdings(pairing.Half, Protocol):
    """What this needs of a vector store."""

    async def count(self) -> int: ...
    async def vectors(self, ids: Sequence[str]) -> Mapping[str, Any]: ...
    def scroll(self) -> AsyncIterator[tuple[str, dict[str, Any]]]: ...


async def mend(manifest: Manifest, store: Holdings, fingerprint: str) -> bool:
    """Compares stamps, counts and a sample, and where they differ every id; True where it had to.

    Files with a missing or an unknown point become pending: the next sync of their folder puts
    them right, reusing what vectors there are. No point of the store is touched.

    Raises:
        StoreLocked: another data folder keeps the collection up to date.
    """
    if not await pairing.belong_together(manifest, store):
        await _compare_all(manifest, store)
        await pairing.stamp(manifest, store, anew=True)
        await manifest.remember("fingerprint", fingerprint)
        return True
    if await _looks_alike(manifest, store, fingerprint):
        return False
    await _compare_all(manifest, store)
    await manifest.remember("fingerprint", fingerprint)
    return True


async def _compare_all(manifest: Manifest, store: Holdings) -> None:
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
