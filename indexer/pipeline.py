"""Files to points: read, fill, embed and write as four tasks joined by bounded queues.

Reading and cutting run ahead of the embedder, storing runs behind it, so that it never waits for
either. Chunks of many files share a window, and a large file spans several; at most a handful of
windows exist at a time, whatever the size of the corpus.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from langchain_qdrant.sparse_embeddings import SparseVector

from backends.embeddings import weighted_mean
from errors import EmbeddingsUnavailable, TextTooLong, VectorStoreUnavailable
from indexer import replacing
from indexer.manifest import Manifest
from indexer.patience import Patience
from indexer.progress import Meter
from indexer.reading import Reading
from indexer.records import FileRecord
from indexer.replacing import KeywordEncoder, Replacement
from indexer.windows import Document, Window

Awaited = dict[str, asyncio.Task[dict[str, list[float]]]]
"""Content hashes, each with the task that will have its vector."""

_READ_AHEAD = 3
_FIRST_WINDOW = 64  # small, so that the embedder starts soon
_WINDOW = 512
"""Texts are sorted by length within a window: with 256 the model works 1.5 % more, on padding."""
_UNDER_WAY = 6
"""Windows between being filled and being stored: what they hold cannot be looked up yet."""


class Store(replacing.Store, Protocol):
    """What a pipeline needs of a vector store."""

    async def vectors(self, ids: Sequence[str]) -> dict[str, tuple[list[float], SparseVector]]: ...


class Embedder(Protocol):
    """What a pipeline needs of an embedding model."""

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a pipeline works with."""

    store: Store
    embeddings: Embedder
    sparse: KeywordEncoder
    manifest: Manifest
    meter: Meter
    on_done: Callable[[Reading], None]
    """Told of each file once the store holds all of it, or once there is nothing to store."""
    on_written: Callable[[int], Awaitable[None]]
    """Told after each window how many points it wrote; the next one waits for it."""
    retry_delays_s: Iterable[float]
    """Waits between attempts at a backend that does not answer; then its error is raised."""


class Pipeline:
    """One sync's way from files to points."""

    def __init__(self, parts: Parts) -> None:
        self._with = parts
        self._patience = Patience(parts.retry_delays_s, parts.meter.pause)
        self._replacement = Replacement(parts.store, parts.manifest, parts.sparse, self._patience)
        self.chunks_embedded = 0
        """Texts for which the model was asked."""
        self.chunks_reused = 0
        """Chunks of new and changed files that did without."""
        self.chunks_written = 0
        """Points upserted."""

    async def run(self, files: Iterable[Callable[[], Reading]]) -> None:
        """Reads each file (blocking calls) and stores it; it is committed when it is complete.

        Raises:
            EmbeddingsUnavailable, VectorStoreUnavailable: after the last attempt.
            EmbeddingMismatch: the model returned vectors that do not fit the texts.
        """
        readings: asyncio.Queue[Reading | None] = asyncio.Queue(_READ_AHEAD)
        filled: asyncio.Queue[Window | None] = asyncio.Queue(1)
        embedded: asyncio.Queue[tuple[Window, Awaited] | None] = asyncio.Queue(1)
        await self._replacement.sweep()
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._read(files, readings))
                stages.create_task(self._fill(readings, filled))
                stages.create_task(self._embed(filled, embedded, stages))
                stages.create_task(self._write(embedded))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the others were stopped because of it

    async def delete(self, files: Sequence[FileRecord]) -> None:
        """Removes files from the index."""
        await self._replacement.delete(files)

    # the stages

    async def _read(
        self, files: Iterable[Callable[[], Reading]], readings: asyncio.Queue[Reading | None]
    ) -> None:
        loop = asyncio.get_running_loop()
        readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="reader")
        ahead: deque[Awaitable[Reading]] = deque()
        try:
            for file in files:
                ahead.append(loop.run_in_executor(readers, file))
                if len(ahead) >= _READ_AHEAD:
                    await readings.put(await ahead.popleft())
            while ahead:
                await readings.put(await ahead.popleft())
            await readings.put(None)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)

    async def _fill(
        self, readings: asyncio.Queue[Reading | None], filled: asyncio.Queue[Window | None]
    ) -> None:
        window = Window(_FIRST_WINDOW)
        while (reading := await readings.get()) is not None:
            if reading.redated:
                await self._replacement.redate(reading.record)
            if reading.outcome in ("same", "gone"):
                self._count_done(reading)
                continue
            document = await self._document(reading)
            self.chunks_reused += len(reading.drafts)
            rest = window.take(document, document.due)
            while window.room <= 0:
                await self._reuse(window)
                await filled.put(window)
                window = Window(_WINDOW)
                if rest:
                    rest = window.take(document, rest)
        if window.parts:
            await self._reuse(window)
            await filled.put(window)
        await filled.put(None)

    async def _embed(
        self,
        filled: asyncio.Queue[Window | None],
        embedded: asyncio.Queue[tuple[Window, Awaited] | None],
        stages: asyncio.TaskGroup,
    ) -> None:
        """Starts on a window while the one before it is at its last batches, so that the model
        does not idle between them."""
        under_way: deque[Awaited] = deque(maxlen=_UNDER_WAY)
        while (window := await filled.get()) is not None:
            texts = window.missing()
            awaited = {
                key: earlier[key] for earlier in under_way for key in earlier.keys() & texts.keys()
            }
            fresh = {key: text for key, text in texts.items() if key not in awaited}
            started = dict.fromkeys(fresh, stages.create_task(self._vectors_of(fresh)))
            under_way.append(started)
            await embedded.put((window, awaited | started))
        await embedded.put(None)

    async def _write(self, embedded: asyncio.Queue[tuple[Window, Awaited] | None]) -> None:
        while (item := await embedded.get()) is not None:
            window, awaited = item
            for key, vectors in awaited.items():
                window.vectors[key] = (await vectors)[key]
            before = self.chunks_written
            await self._finish(asyncio.create_task(self._store(window)))
            await self._with.on_written(self.chunks_written - before)

    # their steps

    async def _document(self, reading: Reading) -> Document:
        if reading.outcome == "new":
            return Document.of(reading, [])
        (held,) = await self._with.manifest.points([reading.record])
        return Document.of(reading, held)

    async def _reuse(self, window: Window) -> None:
        """Takes over the vectors of texts that the store already holds somewhere."""
        if missing := window.missing():
            holders = await self._with.manifest.holders(list(missing))
            ids = list(holders.values())
            stored = (
                await self._patience.keep_trying(lambda: self._with.store.vectors(ids))
                if ids
                else {}
            )
            for content_hash, point in holders.items():
                if point in stored:
                    window.vectors[content_hash] = stored[point][0]

    async def _vectors_of(self, texts: dict[str, str]) -> dict[str, list[float]]:
        """The texts' vectors, by the same keys."""
        if not texts:
            return {}
        vectors = await self._vectors(list(texts.values()))
        self.chunks_embedded += len(texts)
        self.chunks_reused -= len(texts)
        return dict(zip(texts, vectors, strict=True))

    async def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector a text. One that the model finds too long after all is embedded in halves.

        Only a server can find that: its tokenizer is not at hand, so its tokens were estimated.
        """
        try:
            return await self._patience.keep_trying(
                lambda: self._with.embeddings.aembed_documents(texts)
            )
        except TextTooLong as exc:
            text = texts[exc.position]
            if len(text) < 2:
                raise
            before, after = texts[: exc.position], texts[exc.position + 1 :]
            half = len(text) // 2
            vectors = await self._vectors([*before, text[:half], text[half:], *after])
            halves = vectors[exc.position : exc.position + 2]
            mean = weighted_mean(halves, [half, len(text) - half])
            return [*vectors[: exc.position], mean, *vectors[exc.position + 2 :]]

    async def _store(self, window: Window) -> None:
        written = await self._replacement.store(window)
        self.chunks_written += written
        self._with.meter.count_chunks(written)
        for document in window.finished:
            self._count_done(document.reading)

    def _count_done(self, reading: Reading) -> None:
        self._with.meter.count_file(reading.record.source, reading.record.size)
        self._with.on_done(reading)

    async def _finish(self, task: asyncio.Task[None]) -> None:
        """Waits for a task, and when cancelled still lets it come to its end."""
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._patience.end()
            with contextlib.suppress(EmbeddingsUnavailable, VectorStoreUnavailable):
                await task
            raise
