"""An index compared with the folder that it is of, made without the indexer."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from errors import ParsingError
from indexer.chunking import chunk
from indexer.formats.markdown import parse_markdown
from indexer.formats.plain_text import parse_plain_text
from indexer.manifest import Manifest
from indexer.parsing import parse
from indexer.points import Draft, draft
from indexer.reading import relative_path
from indexer.records import FileRecord
from indexer.replacing import hide_unsettled
from indexer.sources import SourceFile, discover
from indexer.sync import sync
from settings import Settings

MAX_BYTES = 10_000_000
DIMENSION = 384


class HashModel(EmbeddingModel):
    """Equal texts have equal vectors, and nothing has to be loaded."""

    name = "hash"
    max_tokens = 256

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    async def fingerprint(self) -> EmbeddingFingerprint:
        return EmbeddingFingerprint(self.name, "", DIMENSION, "|")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        vector: list[float] = np.random.default_rng(seed).normal(size=DIMENSION).tolist()
        return vector

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embed_documents(list(texts))


@contextlib.asynccontextmanager
async def opened(
    data_dir: Path, model: EmbeddingModel
) -> AsyncIterator[tuple[VectorStore, Manifest]]:
    """The store and the manifest of a data folder, as the service opens them."""
    settings = Settings(data_dir=data_dir, _env_file=None)
    store = await asyncio.to_thread(open_vector_store, settings, model)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.aclose)
        await store.open()
        manifest = Manifest(data_dir, store.collection_name)
        stack.push_async_callback(manifest.aclose)
        await hide_unsettled(manifest, store.visibility)
        yield store, manifest


async def index(root: Path, store: VectorStore, manifest: Manifest, model: EmbeddingModel) -> None:
    await sync(
        [root],
        store=store,
        embeddings=model,
        sparse=Bm25Sparse(),
        manifest=manifest,
        max_file_bytes=MAX_BYTES,
    )


def expected(root: Path, model: EmbeddingModel) -> dict[str, Draft]:
    """What an index of the folder holds: each file parsed and cut by itself."""
    points: dict[str, Draft] = {}
    for file in discover(root, max_bytes=MAX_BYTES):
        if isinstance(file, SourceFile):
            with contextlib.suppress(ParsingError):
                chunks = chunk(
                    parse(file.path), count_tokens=model.count_tokens, max_tokens=model.max_tokens
                )
                points |= {piece.point.id: piece for piece in draft(_record(file), chunks)}
    return points


def _record(file: SourceFile) -> FileRecord:
    return FileRecord(
        str(file.root), relative_path(file), file.source, file.size, file.mtime_ns, file.inode,
        0, "", "indexed", "", "", 0.0,
    )  # fmt: skip


async def differences(
    wanted: dict[str, Draft], store: VectorStore, model: EmbeddingModel
) -> list[str]:
    """Points missing, left over, with another payload or with another vector."""
    held = {point: metadata async for point, metadata in store.scroll()}
    problems = [f"missing: {wanted[point].metadata}" for point in wanted.keys() - held.keys()]
    problems += [f"left over: {held[point]}" for point in held.keys() - wanted.keys()]
    if await store.count() != len(wanted):
        problems.append(f"{await store.count()} points are counted, {len(wanted)} expected")
    both = sorted(wanted.keys() & held.keys())
    problems += [
        f"payload: {held[point]}" for point in both if held[point] != wanted[point].metadata
    ]
    vectors = await store.vectors(both)
    dense = await model.aembed_documents([wanted[point].embedded_text for point in both])
    sparse = Bm25Sparse().embed_documents([wanted[point].keywords for point in both])
    for point, vector, words in zip(both, dense, sparse, strict=True):
        stored, stored_words = vectors[point]
        if np.dot(stored, vector) / np.linalg.norm(vector) < 0.999:
            problems.append(f"dense vector: {wanted[point].metadata}")
        if sorted(stored_words.indices) != sorted(words.indices):
            problems.append(f"sparse vector: {wanted[point].metadata}")
    return problems


async def stale(
    wanted: dict[str, Draft], store: VectorStore, versions: dict[str, list[str]]
) -> list[str]:
    """Passages that a search finds and that the folder does not hold."""
    queries = sorted(
        {
            line
            for texts in versions.values()
            for text in texts
            for line in text.split("\n")[2:60:20]
            if line
        }
    )
    problems = []
    for query in queries[:: max(1, len(queries) // 10)]:
        found = await store.search(query, k=20)
        problems += [
            f"stale: {item.metadata}"
            for item in found
            if item.id not in wanted or wanted[item.id].text != item.page_content
        ]
    return problems


async def unknown_versions(
    root: Path, versions: dict[str, list[str]], store: VectorStore, model: EmbeddingModel
) -> list[str]:
    """Documents of which a search, right after a kill, sees what never was one version of them."""
    if not store.client.collection_exists(store.collection_name):
        return []
    hidden = store.visibility.hidden
    seen: dict[str, list[tuple[int, str]]] = {}
    async for point, metadata in store.scroll():
        if point not in hidden:
            place = (metadata["position"], metadata["content_hash"])
            seen.setdefault(metadata["path"], []).append(place)
    return [
        f"{path}: {len(places)} passages are no version of it"
        for path, places in seen.items()
        if sorted(places)
        not in [_places(root, path, text, model) for text in versions.get(path, [])]
    ]


def _places(root: Path, path: str, text: str, model: EmbeddingModel) -> list[tuple[int, str]]:
    parser = parse_markdown if path.lower().endswith(".md") else parse_plain_text
    chunks = chunk(
        parser(text, name=Path(path).stem),
        count_tokens=model.count_tokens,
        max_tokens=model.max_tokens,
    )
    record = FileRecord(str(root), path, "", 0, 0, 0, 0, "", "indexed", "", "", 0.0)
    drafts = draft(record, chunks)
    return [(number, piece.point.content_hash) for number, piece in enumerate(drafts)]
