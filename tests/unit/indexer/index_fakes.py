"""Stand-ins for what the indexer talks to: vectors in a dict, embeddings by hash."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import models

from backends.collection_writer import Writer
from backends.embeddings import EmbeddingFingerprint, EmbeddingModel
from backends.sparse import Bm25Sparse
from backends.vector_store import Point, VectorStore
from backends.visibility import Visibility
from errors import ParsingError
from indexer.chunking import chunk
from indexer.manifest import Manifest
from indexer.parsing import parse
from indexer.points import draft
from indexer.progress import SyncReport
from indexer.reading import relative_path
from indexer.records import FileRecord
from indexer.replacing import hide_unsettled
from indexer.sources import SourceFile, discover
from indexer.sync import sync


class Killed(Exception):
    """The process ended here."""


class MemoryStore:
    """Points in a dict. With a ``fuse`` the process "ends" around the n-th write."""

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}
        self.upserted: list[str] = []
        self.optimized = 0
        self.fuse: int | None = None
        self.failures: list[Exception] = []
        self.visibility = Visibility()
        self.is_shared = False
        self.take_over = False
        self.noted: Writer | None = None

    async def writer(self) -> Writer | None:
        return self.noted

    async def note_writer(self, writer: Writer) -> None:
        self.noted = writer

    async def prepare(self) -> None:
        await asyncio.sleep(0)

    async def upsert(self, points: Sequence[Point]) -> None:
        await self._step()
        self.points.update({point.id: point for point in points})
        self.upserted += [point.id for point in points]
        await self._step()

    async def delete(self, ids: Sequence[str]) -> None:
        await self._step()
        for point in ids:
            self.points.pop(point, None)
        await self._step()

    async def redate(self, ids: Sequence[str], modified_at: float) -> None:
        await self._step()
        for point in ids:
            if held := self.points.get(point):
                metadata = {**held.metadata, "modified_at": modified_at}
                self.points[point] = replace(held, metadata=metadata)
        await self._step()

    async def vectors(self, ids: Sequence[str]) -> dict[str, tuple[list[float], SparseVector]]:
        await asyncio.sleep(0)
        held = (self.points[point] for point in ids if point in self.points)
        return {point.id: (point.dense, point.sparse) for point in held}

    async def search(self, turns: int = 0) -> list[Point]:
        """All points that a search sees that needs so many turns of the event loop."""
        with self.visibility.searching(models.Filter()) as where:
            (left_out,) = where.must_not if where and isinstance(where.must_not, list) else (None,)
            hidden = set(getattr(left_out, "has_id", ()))
            for _ in range(turns):
                await asyncio.sleep(0)
            return [point for name, point in self.points.items() if name not in hidden]

    async def scroll(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        for point in list(self.points.values()):
            await asyncio.sleep(0)
            yield point.id, point.metadata

    async def count(self) -> int:
        return len(self.points)

    async def note_chunker(self, version: str) -> None:
        self.chunker = version

    async def optimize(self) -> None:
        self.optimized += 1

    async def _step(self) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed


class HashEmbeddings:
    """Equal texts have equal vectors; what was embedded is remembered."""

    name = "hash"
    max_tokens = 64

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self.failures: list[Exception] = []
        self.busy = asyncio.Event()
        self.gate: asyncio.Event | None = None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    async def fingerprint(self) -> EmbeddingFingerprint:
        return EmbeddingFingerprint("hash", "", 4, "|")

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.busy.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.embedded += texts
        return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.blake2b(text.encode(), digest_size=4).digest()]


@dataclass
class Index:
    """A data folder with its backends, as one process would have them."""

    data_dir: Path
    store: MemoryStore
    embeddings: HashEmbeddings
    manifest: Manifest

    async def sync(self, *paths: Path, **more: Any) -> SyncReport:
        return await sync(
            paths,
            store=cast(VectorStore, self.store),
            embeddings=cast(EmbeddingModel, self.embeddings),
            sparse=Bm25Sparse(),
            manifest=self.manifest,
            max_file_bytes=more.pop("max_file_bytes", 1_000_000),
            retry_delays_s=more.pop("retry_delays_s", (0.0, 0.0)),
            **more,
        )

    async def restart(self) -> None:
        """A new process over the same data."""
        await self.manifest.aclose()
        self.manifest = Manifest(self.data_dir)
        self.store.fuse = None
        self.store.visibility = Visibility()
        await hide_unsettled(self.manifest, self.store.visibility)

    def sources(self) -> set[str]:
        return {point.metadata["source"] for point in self.store.points.values()}

    def texts(self, source: str) -> list[str]:
        held = [p for p in self.store.points.values() if p.metadata["source"] == source]
        return [p.text for p in sorted(held, key=lambda point: point.metadata["position"])]


def new_index(data_dir: Path) -> Index:
    return Index(data_dir, MemoryStore(), HashEmbeddings(), Manifest(data_dir))


async def from_scratch(data_dir: Path, *paths: Path) -> dict[str, Point]:
    """What an index that has seen nothing else holds of these paths."""
    index = new_index(data_dir)
    try:
        await index.sync(*paths)
    finally:
        await index.manifest.aclose()
    return index.store.points


def by_hand(root: Path) -> dict[str, Point]:
    """What an index of a folder holds: every file parsed, cut and embedded by itself."""
    model = HashEmbeddings()
    points: dict[str, Point] = {}
    for file in discover(root, max_bytes=1_000_000):
        if not isinstance(file, SourceFile):
            continue
        with contextlib.suppress(ParsingError):
            document = parse(file.path)
            chunks = chunk(document, count_tokens=model.count_tokens, max_tokens=model.max_tokens)
            path = relative_path(file)
            record = FileRecord(
                str(root), path, file.source, file.size, file.mtime_ns, file.inode,
                0, "", "indexed", "", "", 0.0,
            )  # fmt: skip
            for made in draft(record, chunks):
                (words,) = Bm25Sparse().embed_documents([made.keywords])
                vector = _vector(made.embedded_text)
                name = made.point.id
                points[name] = Point(name, made.text, made.metadata, vector, words)
    return points


async def look_away(*_: object) -> None:
    """In the place of ``mend``: the store is not compared with the manifest."""
