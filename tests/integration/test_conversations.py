"""Conversations kept in a real SQLite file, across restarts, in turn."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig

from backends.checkpoints import Threads, open_threads
from backends.connections import Backends
from backends.extractive.reader import ExtractiveReader
from errors import UnavailableError
from graph.builder import build_graph
from graph.context import RagContext
from settings import Settings
from tests.fakes import WordEmbeddings, as_document, passage

BEES = passage("Bees fly as fast as 25 km/h. A queen lays 2,000 eggs a day.")


class Store:
    """Finds the same whatever is asked, and lets others run meanwhile."""

    async def search(self, *_: object, **__: object) -> list[Any]:
        await asyncio.sleep(0.005)
        return [as_document(BEES)]


async def ask(threads: Threads, question: str, thread: str) -> list[str]:
    """Asks on a thread; returns the questions that the thread then remembers."""
    graph = build_graph(
        Backends(
            settings=Settings(_env_file=None),
            embeddings=WordEmbeddings(),
            sparse=cast(Any, None),
            store=cast(Any, Store()),
            extractive=ExtractiveReader(WordEmbeddings()),
            language_model=None,
        ),
        checkpointer=threads.checkpointer,
    )
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    async with threads.turn(thread):
        await graph.ainvoke({"question": question}, config, context=RagContext(), durability="exit")
    state = await graph.aget_state(config)
    return [turn["question"] for turn in state.values["conversation"]]


def rows(data_dir: Path, table: str = "checkpoints") -> list[tuple[str, int]]:
    with sqlite3.connect(data_dir / "threads.sqlite3") as database:
        sql = f"SELECT thread_id, count(*) FROM {table} GROUP BY thread_id ORDER BY thread_id"  # noqa: S608 - a test's own names
        return [(str(thread), int(count)) for thread, count in database.execute(sql)]


async def test_a_conversation_outlives_the_process(tmp_path: Path) -> None:
    async with open_threads(tmp_path) as threads:
        await ask(threads, "How fast do bees fly?", "a")
    async with open_threads(tmp_path) as threads:
        assert await ask(threads, "And how many eggs do they lay?", "a") == [
            "How fast do bees fly?",
            "And how many eggs do they lay? fast bees fly",
        ]
        assert await ask(threads, "How fast do bees fly?", "b") == ["How fast do bees fly?"]


async def test_runs_of_one_thread_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    async with open_threads(tmp_path) as threads:
        await asyncio.gather(*(ask(threads, f"How fast is bee {n}?", "a") for n in range(10)))
        remembered = await ask(threads, "How fast is the last bee?", "a")
    assert len(remembered) == 11


async def test_a_thread_keeps_its_last_state_alone(tmp_path: Path) -> None:
    async with open_threads(tmp_path) as threads:
        for number in range(3):
            await ask(threads, f"How fast is bee {number}?", "a")
    assert rows(tmp_path) == [("a", 1)]
    assert rows(tmp_path, "writes") in ([], [("a", 1)])


async def test_the_threads_unused_for_longest_are_forgotten(tmp_path: Path) -> None:
    async with open_threads(tmp_path, max_threads=2) as threads:
        for thread in ("a", "b", "a", "c"):
            await ask(threads, "How fast do bees fly?", thread)
    assert rows(tmp_path) == [("a", 1), ("c", 1)]


async def test_a_forgotten_conversation_begins_anew(tmp_path: Path) -> None:
    async with open_threads(tmp_path) as threads:
        await ask(threads, "How fast do bees fly?", "a")
        await threads.forget("a")
        assert len(await ask(threads, "How fast do bees fly?", "a")) == 1


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "threads.sqlite3").write_bytes(b"no database at all" * 1000)
    async with open_threads(tmp_path) as threads:
        assert len(await ask(threads, "How fast do bees fly?", "a")) == 1
    assert (tmp_path / "threads.sqlite3.damaged").exists()


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="ask without a thread"):
        async with open_threads(tmp_path / "file"):
            pass
