"""Whether a newly built index may take the place of the live one."""

import asyncio
from pathlib import Path
from typing import Any

from backends.vector_collection import Client
from errors import ReindexRefused
from indexer.index import Index
from indexer.records import FileRecord
from indexer.roots import Scope, refuse_unmounted

_SAMPLE = 64
_QUERIES = 16
_WITHIN = 10
"""A passage must be among this many that a search for its own text finds."""
_FOUND = 0.8
"""The share of the sampled passages that must be: many files may say the same."""
_QUERY_CHARS = 300


async def inspect(live: Index, shadow: Index) -> None:
    """Compares the shadow with its manifest, with the live index, and with what searches find.

    Raises:
        ReindexRefused: something is missing; names what.
        PathError: a root is empty that was not, and is another folder than before: not mounted?
    """
    await _inspect_files(live, shadow)
    await _inspect_points(shadow)
    await _inspect_searches(shadow)


async def _inspect_files(live: Index, shadow: Index) -> None:
    before = {(f.root, f.path): f for f in await live.manifest.documents()}
    now = {(f.root, f.path): f for f in await shadow.manifest.documents()}
    pending = [file.source for file in now.values() if file.state == "pending"]
    if pending:
        raise _refused(f"{len(pending):,} files are not complete in it, such as {pending[0]}")
    lost = [file for key, file in now.items() if _is_lost(before.get(key), file)]
    if lost:
        raise _refused(
            f"{len(lost):,} files that the live index holds could not be read this time, such as "
            f"{lost[0].source}: {lost[0].reason}"
        )
    emptied = {root for root, _ in before} - {root for root, _ in now}
    roots = await live.manifest.roots()
    for root in emptied:
        await asyncio.to_thread(refuse_unmounted, Scope(Path(root), "", ()), roots)


def _is_lost(before: FileRecord | None, now: FileRecord) -> bool:
    """Failed, with the very bytes that could be read before: the fault is not the file's."""
    return (
        now.state == "failed"
        and before is not None
        and before.state == "indexed"
        and before.content_hash == now.content_hash
    )


async def _inspect_points(shadow: Index) -> None:
    stored, expected = await shadow.store.count(), await shadow.manifest.count()
    if stored != expected:
        raise _refused(f"it holds {stored:,} passages where {expected:,} were written")
    sample = await shadow.manifest.sample(_SAMPLE)
    readable = await shadow.store.vectors(sample)
    dimension = (await shadow.embeddings.fingerprint()).dimension
    whole = [point for point, (dense, _) in readable.items() if len(dense) == dimension]
    if len(whole) != len(sample):
        raise _refused(f"{len(sample) - len(whole)} of {len(sample)} passages cannot be read back")


async def _inspect_searches(shadow: Index) -> None:
    sample = await shadow.manifest.sample(_QUERIES)
    texts = await shadow.store.ask(_texts, shadow.store.collection_name, sample)
    found = 0
    for point, text in texts.items():
        results = await shadow.store.search(text[:_QUERY_CHARS], k=_WITHIN)
        found += any(r.id == point or r.page_content == text for r in results)
    if found < _FOUND * len(texts):
        raise _refused(f"searches for {len(texts)} of its passages found only {found}")


def _texts(client: Client, collection: str, ids: list[str]) -> dict[str, str]:
    records: list[Any] = client.retrieve(collection, ids, with_payload=True)
    return {str(r.id): str((r.payload or {}).get("page_content", "")) for r in records}


def _refused(reason: str) -> ReindexRefused:
    return ReindexRefused(
        f"The new index was not put in the live one's place: {reason}. Questions are answered from "
        "the old one as before. Run `tandem reindex` again once the cause is gone."
    )
