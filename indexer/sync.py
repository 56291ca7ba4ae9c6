"""Folders brought into the index, and the index into line with the folders.

``sync`` compares what is on disk with the manifest, and reads, cuts, embeds and stores only what
differs. It can be stopped or killed at any point: what was committed stays, the rest is done by
the next one.

A document is replaced by writing its new points before the old ones go. A file that can no longer
be read loses its points and is listed as failed: an index that quotes a version nobody can check
would be lying. A root that is not there is an error, never a reason to delete what it held.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from backends.embeddings import EmbeddingModel
from backends.sparse import Bm25Sparse
from backends.vector_store import VectorStore
from errors import PathError
from indexer.changes import Changes, FileProblem, compare
from indexer.chunking import Chunk, chunk
from indexer.coverage import note_coverage
from indexer.manifest import Manifest
from indexer.mending import mend
from indexer.parser_process import ParserProcess
from indexer.parsing import parse
from indexer.pipeline import Parts, Pipeline
from indexer.progress import Meter, Progress, SyncReport, Tally
from indexer.reading import Reading, read
from indexer.records import FileRecord
from indexer.roots import Scope, existing, identify, refuse_unmounted, resolve
from indexer.sources import SkippedFile, SourceFile, discover

__all__ = ["FileProblem", "Progress", "SyncReport", "sync"]

Reader = Callable[[SourceFile, FileRecord | None], Reading]

RECIPE = 1
"""To be raised when parsing or chunking changes what it makes of the same file."""
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0)
OPTIMIZE_AFTER = 20_000
"""Points written since the last time; fewer are searched exactly in a millisecond or two."""


async def sync(
    paths: Sequence[Path],
    *,
    store: VectorStore,
    embeddings: EmbeddingModel,
    sparse: Bm25Sparse,
    manifest: Manifest,
    max_file_bytes: int,
    on_progress: Callable[[Progress], None] | None = None,
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> SyncReport:
    """Makes the index equal to what the files and folders hold now.

    A path inside a known root belongs to that root; a folder around known roots takes them over.
    Only files below the paths are looked at, and removed where they are gone. Syncs of one
    manifest wait for each other. ``on_progress`` is called at most ten times a second;
    ``retry_delays_s`` are the waits between attempts at a backend that does not answer.

    Raises:
        PathError: a path or a root is not there; nothing was changed.
        StoreLocked: another process is indexing into this data folder.
        EmbeddingsUnavailable, VectorStoreUnavailable: the backend stayed away through all
            retries; every file completed before stays indexed.
        FingerprintMismatch: the index was made by another embedding model.
    """
    async with manifest.exclusive():
        meter = Meter(on_progress)
        real = await asyncio.to_thread(existing, paths)
        await store.prepare()
        await mend(manifest, store, str(tuple(await embeddings.fingerprint())))
        scopes = await asyncio.to_thread(resolve, real, await manifest.roots())
        recipe = f"{RECIPE}/{embeddings.max_tokens}"
        changes = await _compare(scopes, manifest, recipe=recipe, max_bytes=max_file_bytes)
        tally = Tally(changes)
        parts = Parts(
            store=store,
            embeddings=embeddings,
            sparse=sparse,
            manifest=manifest,
            meter=meter,
            on_done=tally.note,
            retry_delays_s=retry_delays_s,
        )
        pipeline = Pipeline(parts)
        with ParserProcess() as process:  # one for all files: starting it takes longer than most
            chunker = partial(_chunks, embeddings, process)
            reader = partial(read, chunker=chunker, recipe=recipe)
            await _apply(changes, pipeline, tally, meter, reader)
        if tally.touched:
            await manifest.refresh(tally.touched)
        for adopted in chain.from_iterable(scope.adopted for scope in scopes):
            await manifest.remove_root(adopted)
        await note_coverage(manifest, scopes)
        await store.note_chunker(recipe)
        await _optimize(store, manifest, pipeline.chunks_written)
        meter.update(last=True)
        return tally.report(
            embedded=pipeline.chunks_embedded,
            reused=pipeline.chunks_reused,
            seconds=meter.elapsed_s(),
        )


async def _compare(
    scopes: Sequence[Scope], manifest: Manifest, *, recipe: str, max_bytes: int
) -> Changes:
    """What differs in all scopes; new roots are noted, so that files can be stored below them."""
    changes = Changes()
    known = await manifest.roots()
    for scope in scopes:
        records = await manifest.files(str(scope.root), scope.below)
        found = partial(_walk, scope, records, recipe=recipe, max_bytes=max_bytes, changes=changes)
        if await asyncio.to_thread(found) == 0 and records:
            await asyncio.to_thread(refuse_unmounted, scope, known)
        now = await asyncio.to_thread(identify, scope.root)
        if now not in known:
            await manifest.keep_root(now)
        for adopted in scope.adopted:
            changes.vanished.extend(await manifest.files(adopted))
    return changes


def _walk(
    scope: Scope, records: list[FileRecord], *, recipe: str, max_bytes: int, changes: Changes
) -> int:
    found = discover(scope.root, max_bytes=max_bytes, below=scope.below)
    return compare(_refusing(scope, found), records, recipe=recipe, changes=changes)


def _refusing(
    scope: Scope, found: Iterator[SourceFile | SkippedFile]
) -> Iterator[SourceFile | SkippedFile]:
    """Passes files on; the covered folder itself being unreadable is no reason to empty it."""
    for file in found:
        if isinstance(file, SkippedFile) and file.path == scope.path and file.path.is_dir():
            raise PathError(f"{file.path} cannot be indexed: {file.reason}.")
        yield file


async def _apply(
    changes: Changes, pipeline: Pipeline, tally: Tally, meter: Meter, reader: Reader
) -> None:
    """New files come first and vanished ones last: a moved file's vectors are still there then."""
    if not changes.new:
        await pipeline.delete(changes.vanished)
    due = [(file, None) for file in changes.new] + changes.suspect
    meter.expect(len(due), sum(file.size for file, _ in due))
    await pipeline.run(partial(reader, file, previous) for file, previous in due)
    if changes.new:
        await pipeline.delete(changes.vanished)
    await pipeline.delete(tally.gone)


def _chunks(embeddings: EmbeddingModel, process: ParserProcess, path: Path) -> list[Chunk]:
    document = parse(path, process=process)
    return chunk(document, count_tokens=embeddings.count_tokens, max_tokens=embeddings.max_tokens)


async def _optimize(store: VectorStore, manifest: Manifest, written: int) -> None:
    """Builds the search index anew once enough has been written since the last time."""
    if not written:
        return
    pending = written + int(await manifest.fact("points since optimize") or 0)
    if pending >= OPTIMIZE_AFTER:
        await store.optimize()
        pending = 0
    await manifest.remember("points since optimize", str(pending))
