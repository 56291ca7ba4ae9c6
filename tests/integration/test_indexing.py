"""The indexer over the embedded store and the embedded model, kills included."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.embeddings import EmbeddingModel, create_embeddings
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from indexer.manifest import Manifest
from indexer.sync import SyncReport, sync
from settings import Settings

KILLS = 6
TOPICS = {
    "kitchen": "Bread needs flour, water, salt and time; the dough rests before it is baked.",
    "sea": "Whales are mammals that breathe air and can hold their breath for an hour.",
    "space": "The moon moves the tides, and it always shows the same face to the earth.",
}


def grow(folder: Path, seed: int) -> None:
    """Writes, edits, moves and deletes some files, the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for topic, sentence in TOPICS.items():
        (folder / topic).mkdir(parents=True, exist_ok=True)
        for number in chance.sample(range(40), 12):
            sections = [
                f"## Note {chance.randrange(200)}\n\n{sentence} Number {chance.randrange(200)}.\n"
                for _ in range(chance.randrange(1, 8))
            ]
            (folder / topic / f"{number}.md").write_text(f"# {topic}\n\n" + "\n".join(sections))
    files = sorted(folder.rglob("*.md"))
    for path in chance.sample(files, min(6, len(files))):
        path.unlink()
    for path in chance.sample(sorted(folder.rglob("*.md")), 3):
        path.rename(path.with_name(f"moved-{seed}-{path.name}"))


@contextlib.asynccontextmanager
async def opened(
    data_dir: Path, embeddings: EmbeddingModel
) -> AsyncIterator[tuple[VectorStore, Manifest]]:
    """The store and the manifest of a data folder."""
    store = await asyncio.to_thread(
        open_vector_store, Settings(data_dir=data_dir, _env_file=None), embeddings
    )
    manifest = Manifest(data_dir)
    try:
        yield store, manifest
    finally:
        await manifest.aclose()
        await store.aclose()


async def index(
    folder: Path, embeddings: EmbeddingModel, store: VectorStore, manifest: Manifest
) -> SyncReport:
    return await sync(
        [folder],
        store=store,
        embeddings=embeddings,
        sparse=Bm25Sparse(),
        manifest=manifest,
        max_file_bytes=1_000_000,
    )


async def contents(store: VectorStore) -> dict[str, dict[str, Any]]:
    return {point: metadata async for point, metadata in store.scroll()}


@pytest.fixture
async def embeddings() -> AsyncIterator[EmbeddingModel]:
    embeddings = create_embeddings(Settings(_env_file=None).embeddings)
    yield embeddings
    await embeddings.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for topic, sentence in TOPICS.items():
        (folder / f"{topic}.md").write_text(f"# About the {topic}\n\n{sentence}\n")
    return folder


async def test_what_is_indexed_is_found_and_a_second_run_does_nothing(
    folder: Path, tmp_path: Path, embeddings: EmbeddingModel
) -> None:
    async with opened(tmp_path / "data", embeddings) as (store, manifest):
        assert (await index(folder, embeddings, store, manifest)).added == 3
        (best,) = await store.search("How long can a whale stay under water?", k=1)
        assert best.metadata["source"] == "notes/sea.md"
        assert TOPICS["sea"] in best.page_content
        report = await index(folder, embeddings, store, manifest)
        assert (report.unchanged, report.chunks_embedded) == (3, 0)


async def test_a_moved_file_keeps_its_vectors_and_is_found_by_its_new_name(
    folder: Path, tmp_path: Path, embeddings: EmbeddingModel
) -> None:
    async with opened(tmp_path / "data", embeddings) as (store, manifest):
        await index(folder, embeddings, store, manifest)
        await asyncio.to_thread((folder / "sea.md").rename, folder / "marine_zoology.md")
        report = await index(folder, embeddings, store, manifest)
        assert (report.moved, report.chunks_embedded) == (1, 0)
        (best,) = await store.search("zoology", k=1, mode="sparse")
        assert best.metadata["source"] == "notes/marine_zoology.md"


async def test_a_wiped_store_is_filled_again(
    folder: Path, tmp_path: Path, embeddings: EmbeddingModel
) -> None:
    async with opened(tmp_path / "data", embeddings) as (store, manifest):
        await index(folder, embeddings, store, manifest)
        before = await contents(store)
        await store.delete(list(before))
        await index(folder, embeddings, store, manifest)
        assert await contents(store) == before


@pytest.mark.timeout(400)  # the model is loaded anew in each process
async def test_after_kills_at_any_moment_the_next_sync_equals_the_folder(
    tmp_path: Path, embeddings: EmbeddingModel
) -> None:
    folder = tmp_path / "notes"
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    killed = 0
    for seed in range(KILLS):
        await asyncio.to_thread(grow, folder, seed)
        killed += await index_and_kill(folder, tmp_path / "data", chance.uniform(0, 0.6))
    assert killed > 0
    async with opened(tmp_path / "data", embeddings) as (store, manifest):
        await index(folder, embeddings, store, manifest)
        survived = await contents(store)
    async with opened(tmp_path / "fresh", embeddings) as (store, manifest):
        await index(folder, embeddings, store, manifest)
        assert survived == await contents(store)


async def index_and_kill(folder: Path, data_dir: Path, delay_s: float) -> bool:
    """Indexes in another process and kills it so long after it began to sync; True where it did."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "index_child", str(folder), str(data_dir),
        cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": f"{Path(__file__).parent}:."},
    )  # fmt: skip
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begun\n"
    try:
        await asyncio.wait_for(process.wait(), delay_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    assert process.returncode == 0
    return False
