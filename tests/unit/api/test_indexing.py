"""Syncs that wait for their turn behind one that waits for a backend."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from api.indexing import Indexing
from backends.connections import Backends
from backends.sparse import Bm25Sparse
from errors import EmbeddingsUnavailable, UnavailableError
from settings import Settings
from tests.unit.indexer.index_fakes import Index, new_index

WITHIN_S = 30.0


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("The first letter.\n")
    return folder


@pytest.fixture
async def indexing(index: Index, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Indexing]:
    monkeypatch.setattr("api.indexing.RETRY_DELAYS_S", (0.0, 0.1))
    backends = Backends(
        settings=Settings(_env_file=None),
        embeddings=cast(Any, index.embeddings),
        sparse=Bm25Sparse(),
        store=cast(Any, index.store),
        extractive=cast(Any, None),
        language_model=None,
    )
    indexing = Indexing(backends, index.manifest)
    yield indexing
    await indexing.aclose()


async def test_syncs_take_turns(indexing: Indexing, folder: Path) -> None:
    reports = await asyncio.gather(*(indexing.run([folder]) for _ in range(3)))
    assert sorted(report.added for report in reports) == [0, 0, 1]


async def test_who_does_not_want_to_wait_is_told_why_the_sync_before_cannot_go_on(
    indexing: Indexing, index: Index, folder: Path
) -> None:
    index.embeddings.failures = [EmbeddingsUnavailable("The model is asleep.")] * 100_000
    waiting = asyncio.create_task(indexing.run([folder], wait=True))
    with pytest.raises(UnavailableError, match="The model is asleep"):
        await asyncio.wait_for(indexing.run([folder]), WITHIN_S)
    assert indexing.progress is not None
    assert indexing.progress.paused == "The model is asleep."
    index.embeddings.failures.clear()
    assert (await asyncio.wait_for(waiting, WITHIN_S)).added == 1
    assert (await asyncio.wait_for(indexing.run([folder]), WITHIN_S)).unchanged == 1


async def test_who_is_cancelled_while_waiting_for_a_turn_leaves_it_to_the_next(
    indexing: Indexing, index: Index, folder: Path
) -> None:
    index.embeddings.gate = asyncio.Event()
    first = asyncio.create_task(indexing.run([folder]))
    await asyncio.wait_for(index.embeddings.busy.wait(), WITHIN_S)
    second = asyncio.create_task(indexing.run([folder]))
    third = asyncio.create_task(indexing.run([folder]))
    await asyncio.sleep(0)
    second.cancel()
    index.embeddings.gate.set()
    assert (await asyncio.wait_for(first, WITHIN_S)).added == 1
    assert (await asyncio.wait_for(third, WITHIN_S)).unchanged == 1


async def test_without_waiting_the_error_is_raised_after_the_last_attempt(
    indexing: Indexing, index: Index, folder: Path
) -> None:
    index.embeddings.failures = [EmbeddingsUnavailable("The model is asleep.")] * 3
    with pytest.raises(EmbeddingsUnavailable):
        await indexing.run([folder])
    assert indexing.error == "The model is asleep."
    assert (await indexing.run([folder])).added == 1
    assert indexing.error == ""


async def test_an_idle_parser_is_given_back_and_the_next_sync_gets_another(
    indexing: Indexing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.indexing._IDLE_S", 0.0)
    for number in range(2):
        (folder / f"page{number}.html").write_text(f"<p>Page number {number}.</p>")
        assert (await indexing.run([folder])).failed == []
        async with asyncio.timeout(WITHIN_S):
            while indexing.parser._process is not None:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
