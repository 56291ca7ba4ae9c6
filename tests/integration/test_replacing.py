"""Documents replaced in the embedded store while it is searched all the time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from qdrant_client import models

from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from indexer.chunking import chunk
from indexer.formats.markdown import parse_markdown
from indexer.manifest import Manifest
from indexer.sync import sync
from settings import Settings
from tests.fakes import WordEmbeddings

SECTIONS = 60
Version = frozenset[tuple[int, int | None]]
"""Of each passage the hash of its text, and the line on which it begins."""
OF_IT = models.Filter(
    must=[
        models.FieldCondition(key="metadata.source", match=models.MatchValue(value="notes/long.md"))
    ]
)


@contextlib.asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[tuple[VectorStore, Manifest]]:
    settings = Settings(data_dir=data_dir, _env_file=None)
    store = open_vector_store(settings, WordEmbeddings())
    manifest = Manifest(data_dir)
    try:
        await store.prepare()
        yield store, manifest
    finally:
        await manifest.aclose()
        await store.aclose()


async def index(folder: Path, store: VectorStore, manifest: Manifest) -> None:
    await sync(
        [folder],
        store=store,
        embeddings=WordEmbeddings(),
        sparse=Bm25Sparse(),
        manifest=manifest,
        max_file_bytes=10_000_000,
    )


def text(version: int) -> str:
    """All sections stand on other lines than before; every fifth one is new."""
    sections = [
        f"## Part {n}\n\n" + f"harbour{n if n % 5 else version} ferry{n} " * 50
        for n in range(SECTIONS - version % 3)
    ]
    return "\n" * (version % 7) + "\n\n".join(sections)


def whole(version: int) -> Version:
    document = parse_markdown(text(version), name="long")
    model = WordEmbeddings()
    chunks = chunk(document, count_tokens=model.count_tokens, max_tokens=model.max_tokens)
    return frozenset((hash(piece.text), piece.start_line) for piece in chunks)


def version_of(found: list[Document]) -> Version:
    lines = [(hash(item.page_content), item.metadata["start_line"]) for item in found]
    assert len(lines) == len(set(lines))
    return frozenset(lines)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
async def test_every_search_finds_exactly_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    monkeypatch.setattr("indexer.pipeline._FIRST_WINDOW", 16)
    monkeypatch.setattr("indexer.pipeline._WINDOW", 16)
    folder = tmp_path / "notes"
    folder.mkdir()
    path = folder / "long.md"
    done = asyncio.Event()
    readers: list[list[Version]] = [[], [], []]

    async def search_on(store: VectorStore, seen: list[Version]) -> None:
        while not done.is_set():
            query = " ".join(f"ferry{n}" for n in range(SECTIONS))
            seen.append(version_of(await store.search(query, k=1000, where=OF_IT, mode=mode)))

    async with opened(tmp_path / "data") as (store, manifest):
        path.write_text(text(0))
        await index(folder, store, manifest)
        async with asyncio.TaskGroup() as tasks:
            for seen in readers:
                tasks.create_task(search_on(store, seen))
            for version in range(1, 8):
                path.write_text(text(version))
                await index(folder, store, manifest)
                await store.search("ferry1", k=1)
            path.unlink()
            (folder / "other.md").write_text("Nothing of it.\n")
            await index(folder, store, manifest)
            done.set()
        assert store.visibility.hidden == set()
        assert await store.count() == 1
    allowed = {whole(version): version for version in range(8)} | {frozenset(): 8}  # deleted
    for seen in readers:
        versions = [allowed.get(found, -1) for found in seen]
        assert set(versions) <= set(range(9))
        assert versions == sorted(versions)
        assert len(set(versions)) >= 6


async def test_a_search_during_optimisation_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.vector_store.OPTIMIZE_FROM_POINTS", 10)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "long.md").write_text(text(1))
    async with opened(tmp_path / "data") as (store, manifest):
        await index(folder, store, manifest)
        optimizing = asyncio.create_task(store.optimize())
        while not optimizing.done():
            found = await store.search("ferry1 ferry2", k=1000, mode="dense")
            assert version_of(found) == whole(1)
        await optimizing
        assert version_of(await store.search("ferry1", k=1000, mode="dense")) == whole(1)
