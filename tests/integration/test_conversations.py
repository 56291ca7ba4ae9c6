"""Conversations kept in a real SQLite file and a real PostgreSQL, across restarts, in turn."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig

from backends.connections import Backends
from backends.conversations.postgres import open_postgres_threads
from backends.conversations.sqlite import open_sqlite_threads
from backends.conversations.threads import MAX_TURNS, Threads, open_threads
from backends.extractive.reader import ExtractiveReader
from errors import SettingsError, UnavailableError
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


Opened = Callable[..., AbstractAsyncContextManager[Threads]]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the same conversations again and again; the first time there are none."""
    if request.param == "sqlite":
        return partial(open_sqlite_threads, tmp_path)
    url: str = request.getfixturevalue("empty_postgres")
    return partial(open_postgres_threads, url)


def checkpoints(tmp_path: Path, opened: Opened) -> list[tuple[str, int]]:
    """How many states are kept of each thread."""
    sql = "SELECT thread_id, count(*) FROM checkpoints GROUP BY thread_id ORDER BY thread_id"
    if opened.func is open_postgres_threads:  # type: ignore[attr-defined]  # a partial
        with psycopg.connect(opened.args[0]) as database:  # type: ignore[attr-defined]  # a partial
            return [(str(thread), int(count)) for thread, count in database.execute(sql)]
    with sqlite3.connect(tmp_path / "threads.sqlite3") as kept:
        return [(str(thread), int(count)) for thread, count in kept.execute(sql)]


async def test_a_conversation_outlives_the_process(opened: Opened) -> None:
    async with opened() as threads:
        await ask(threads, "How fast do bees fly?", "a")
    async with opened() as threads:
        assert await ask(threads, "And how many eggs do they lay?", "a") == [
            "How fast do bees fly?",
            "And how many eggs do they lay? fast bees fly",
        ]
        assert await ask(threads, "How fast do bees fly?", "b") == ["How fast do bees fly?"]


async def test_runs_of_one_thread_at_the_same_time_lose_nothing(opened: Opened) -> None:
    async with opened() as threads:
        await asyncio.gather(*(ask(threads, f"How fast is bee {n}?", "a") for n in range(10)))
        remembered = await ask(threads, "How fast is the last bee?", "a")
    assert len(remembered) == 11


async def test_a_thread_keeps_its_last_state_alone(opened: Opened, tmp_path: Path) -> None:
    async with opened() as threads:
        for number in range(3):
            await ask(threads, f"How fast is bee {number}?", "a")
    assert checkpoints(tmp_path, opened) == [("a", 1)]


async def test_the_threads_unused_for_longest_are_forgotten(opened: Opened, tmp_path: Path) -> None:
    async with opened(max_threads=2) as threads:
        for thread in ("a", "b", "a", "c"):
            await ask(threads, "How fast do bees fly?", thread)
    assert checkpoints(tmp_path, opened) == [("a", 1), ("c", 1)]


async def test_a_forgotten_conversation_begins_anew(opened: Opened) -> None:
    async with opened() as threads:
        await ask(threads, "How fast do bees fly?", "a")
        await threads.forget("a")
        assert len(await ask(threads, "How fast do bees fly?", "a")) == 1


async def test_a_run_that_is_cancelled_gives_its_thread_back(opened: Opened) -> None:
    async with opened() as threads:

        async def hold(begun: asyncio.Event) -> None:
            async with threads.turn("a"):
                begun.set()
                await asyncio.Event().wait()

        begun = asyncio.Event()
        holder = asyncio.create_task(hold(begun))
        await begun.wait()
        waiter = asyncio.create_task(hold(asyncio.Event()))
        await asyncio.sleep(0)
        for task in (waiter, holder):
            task.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        async with asyncio.timeout(30):
            assert len(await ask(threads, "How fast do bees fly?", "a")) == 1


async def test_two_workers_on_one_database_take_turns(postgres: str) -> None:
    async with open_postgres_threads(postgres) as one, open_postgres_threads(postgres) as two:
        await one.forget("shared")
        workers = (one, two) * 5
        runs = [ask(w, f"How fast is bee {n}?", "shared") for n, w in enumerate(workers)]
        await asyncio.gather(*runs)
        assert len(await ask(one, "How fast is the last bee?", "shared")) == 11


async def test_a_database_that_is_not_there_is_named_without_its_password(free_port: int) -> None:
    settings = Settings(
        _env_file=None, threads_url=f"postgresql://me:hidden@127.0.0.1:{free_port}/none"
    )
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{free_port}/none") as caught:
        async with open_threads(settings):
            pass
    assert "hidden" not in str(caught.value)


async def test_what_is_no_address_is_refused() -> None:
    settings = Settings(_env_file=None, threads_url="mysql//nowhere")
    with pytest.raises(SettingsError, match="TANDEM_THREADS_URL"):
        async with open_threads(settings):
            pass


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "threads.sqlite3").write_bytes(b"no database at all" * 1000)
    async with open_sqlite_threads(tmp_path) as threads:
        assert len(await ask(threads, "How fast do bees fly?", "a")) == 1
    assert (tmp_path / "threads.sqlite3.damaged").exists()


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="ask without a thread"):
        async with open_sqlite_threads(tmp_path / "file"):
            pass


async def test_turns_are_kept_as_they_were_shown_in_order_and_bounded(opened: Opened) -> None:
    async with opened() as threads:
        for number in range(MAX_TURNS + 2):
            await threads.remember("a", f"turn {number} \U0001f41d")
        await threads.remember("b", "another's")
    async with opened() as threads:
        kept = [f"turn {number} \U0001f41d" for number in range(2, MAX_TURNS + 2)]
        assert await threads.remembered("a") == kept
        assert await threads.remembered("b") == ["another's"]
        assert await threads.remembered("c") == []


async def test_what_was_shown_is_forgotten_with_its_thread(opened: Opened) -> None:
    async with opened(max_threads=1) as threads:
        for thread in ("a", "b"):
            await ask(threads, "How fast do bees fly?", thread)
            await threads.remember(thread, "shown")
        assert await threads.remembered("a") == []  # the one that was unused for longest
        assert await threads.remembered("b") == ["shown"]
        await threads.forget("b")
        assert await threads.remembered("b") == []


async def test_the_last_state_of_a_thread_is_told_and_is_its_own(opened: Opened) -> None:
    async with opened() as threads:
        assert await threads.last("a") == {}
        await ask(threads, "How fast do bees fly?", "a")
        await ask(threads, "How many eggs does a queen lay?", "b")
        last = await threads.last("a")
        assert last["question"] == "How fast do bees fly?"
        assert "25 km/h" in last["answer"]
        assert last["documents"][0]["text"] == BEES["text"]
        assert (await threads.last("b"))["question"] == "How many eggs does a queen lay?"
        await threads.forget("a")
        assert await threads.last("a") == {}
