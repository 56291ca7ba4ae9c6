"""Folders brought into the index, and the index into line with the folders.

``sync`` compares what is on disk with the manifest, and reads, cuts, embeds and stores only what
differs. It can be stopped or killed at any point: what was committed stays, the rest is done by
the next one.

A document is replaced by writing its new points before the old ones go. A file that can no longer
be read loses its points and is listed as failed: an index that quotes a version nobody can check
would be lying. A root that is not there is an error, never a reason to delete what it held.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from backends.embeddings import EmbeddingModel
from backends.sparse import Bm25Sparse
from backends.vector_store import VectorStore
from indexer.changes import Changes, FileProblem
from indexer.chunking import Chunk, chunk
from indexer.comparison import Comparison
from indexer.coverage import note_coverage
from indexer.manifest import Manifest
from indexer.mending import mend
from indexer.parser_process import ParserProcess
from indexer.parsing import parse
from indexer.patience import patiently
from indexer.pipeline import Parts, Pipeline
from indexer.progress import FileChange, Meter, Progress, SyncReport, Tally
from indexer.reading import Chunker, Reading, read
from indexer.records import FileRecord
from indexer.roots import covering, existing, resolve
from indexer.sources import SourceFile
from indexer.tenants import Tenants

__all__ = ["FileChange", "FileProblem", "Progress", "SyncReport", "sync"]

Reader = Callable[[SourceFile, FileRecord | None], Reading]

RECIPE = 2
"""To be raised when parsing or chunking changes what it makes of the same file."""
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0)
OPTIMIZE_AFTER = 20_000
"""Points written since the last time; fewer are searched exactly in a millisecond or two."""
OPTIMIZE_WITHIN = 100_000
"""The same within one sync: until it is built, the store keeps two kilobytes a point in memory."""


async def sync(
    paths: Sequence[Path],
    *,
    store: VectorStore,
    embeddings: EmbeddingModel,
    sparse: Bm25Sparse,
    manifest: Manifest,
    max_file_bytes: int,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    tenants: Tenants | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    retry_delays_s: Iterable[float] = RETRY_DELAYS_S,
    touched: bool = False,
    process: ParserProcess | None = None,
) -> SyncReport:
    """Makes the index equal to what the files and folders hold now.

    A path inside a known root belongs to that root; a folder around known roots takes them over.
    Only files below the paths are looked at, and removed where they are gone. Syncs of one
    manifest wait for each other. ``include`` and ``exclude`` are patterns as ``discover`` takes
    them; files that they leave out from now on leave the index. ``tenants`` says whose each file
    is. ``on_progress`` is called at most ten times a second; ``retry_delays_s`` are the waits
    between attempts at a backend that does not answer.

    With ``touched``, the paths are where a watcher saw something change: one that is gone means
    that its files are gone, one outside the known roots or left out by a rule means nothing, and
    the manifest is trusted to mirror the store. It takes as long as what has changed takes.

    ``process`` parses the files that are not plain text; by default one is started for this sync.

    Raises:
        PathError: a path or a root is not there; nothing was changed.
        SettingsError: a pattern cannot be understood; nothing was changed.
        StoreLocked: another process is indexing into this data folder.
        EmbeddingsUnavailable, VectorStoreUnavailable: the backend stayed away through all
            retries; every file completed before stays indexed.
        FingerprintMismatch: the index was made by another embedding model.
    """
    tenants = tenants or Tenants()
    async with manifest.exclusive():
        meter = Meter(on_progress)
        if touched:
            scopes = await asyncio.to_thread(covering, paths, await manifest.roots())
        else:
            real = await asyncio.to_thread(existing, paths)
            ready = partial(_make_ready, store, embeddings, manifest)
            await patiently(ready, delays_s=retry_delays_s, on_pause=meter.pause)
            scopes = await asyncio.to_thread(resolve, real, await manifest.roots())
        recipe = f"{RECIPE}/{embeddings.max_tokens}"
        comparison = Comparison(
            manifest=manifest,
            recipe=recipe,
            tenants=tenants,
            max_bytes=max_file_bytes,
            include=include,
            exclude=exclude,
        )
        begun = time.time()
        changes = await comparison.run(scopes)
        tally = Tally(changes)
        parts = Parts(
            store=store,
            embeddings=embeddings,
            sparse=sparse,
            manifest=manifest,
            meter=meter,
            on_done=tally.note,
            on_written=partial(_optimize, store, manifest, tally, after=OPTIMIZE_WITHIN),
            retry_delays_s=retry_delays_s,
        )
        pipeline = Pipeline(parts)
        with _lent(process) as parser:  # one for all files: starting it takes longer than most
            chunker = partial(_chunks, embeddings, parser)
            reader = partial(_read, chunker=chunker, recipe=recipe, tenants=tenants)
            await _apply(changes, pipeline, tally, meter, reader)
        if tally.touched:
            await manifest.refresh(tally.touched)
        for adopted in chain.from_iterable(scope.adopted for scope in scopes):
            await manifest.remove_root(adopted)
        await note_coverage(manifest, scopes)
        if changes.are_any():
            await store.note_chunker(recipe)
        if not touched:  # else an edit would wait for it
            await _optimize(store, manifest, tally, 0, after=OPTIMIZE_AFTER)
        whole = [str(scope.root) for scope in scopes if not scope.below]
        await manifest.note_checked(whole, begun)
        meter.update(last=True)
        return tally.report(
            embedded=pipeline.chunks_embedded,
            reused=pipeline.chunks_reused,
            seconds=meter.elapsed_s(),
        )


async def _make_ready(store: VectorStore, embeddings: EmbeddingModel, manifest: Manifest) -> None:
    """The collection is there and fits the model, and the manifest mirrors it."""
    await store.prepare()
    await mend(manifest, store, str(tuple(await embeddings.fingerprint())))


def _lent(process: ParserProcess | None) -> contextlib.AbstractContextManager[ParserProcess]:
    """A process that is closed at the end unless it belongs to the caller."""
    return ParserProcess() if process is None else contextlib.nullcontext(process)


async def _apply(
    changes: Changes, pipeline: Pipeline, tally: Tally, meter: Meter, reader: Reader
) -> None:
    """Vanished files come last: where they were moved to, their vectors are still there then."""
    due = [(file, None) for file in changes.new] + changes.suspect
    meter.expect(len(due), sum(file.size for file, _ in due))
    await pipeline.run(partial(reader, file, previous) for file, previous in due)
    await pipeline.delete([*changes.vanished, *tally.gone])


def _read(
    file: SourceFile,
    previous: FileRecord | None,
    *,
    chunker: Chunker,
    recipe: str,
    tenants: Tenants,
) -> Reading:
    tenant, own = tenants.of(file.location), tenants.recipe(recipe, file.location)
    return read(file, previous, chunker=chunker, recipe=own, tenant=tenant)


def _chunks(embeddings: EmbeddingModel, process: ParserProcess, path: Path) -> list[Chunk]:
    document = parse(path, process=process)
    # It may be the file's name, which need not be text.
    title = document.title.encode("utf-8", "backslashreplace").decode()
    document = document._replace(title=title)
    return chunk(document, count_tokens=embeddings.count_tokens, max_tokens=embeddings.max_tokens)


async def _optimize(
    store: VectorStore, manifest: Manifest, tally: Tally, written: int, *, after: int
) -> None:
    """Builds the search index anew once enough has been written since the last time."""
    pending = written + int(await manifest.fact("points since optimize") or 0)
    if pending >= after:
        begun = time.monotonic()
        await store.optimize()
        tally.optimizing_s += time.monotonic() - begun
        pending = 0
    elif not written:
        return
    await manifest.remember("points since optimize", str(pending))
