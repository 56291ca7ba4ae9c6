"""Conversations in SQLite, in the data folder: for one process at a time."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import aiosqlite
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from backends.conversations.threads import MAX_THREADS, MAX_TURNS, last_values, plain_values
from errors import UnavailableError

logger = logging.getLogger(__name__)

_FILE = "threads.sqlite3"
_BUSY_TIMEOUT_S = 10.0

# Checkpoint ids begin with their time.
_PRUNE = (
    "DELETE FROM checkpoints WHERE thread_id = :thread AND checkpoint_id < "
    "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)",
    "DELETE FROM writes WHERE thread_id = :thread AND checkpoint_id < "
    "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)",
)
_SHOWN = (
    "CREATE TABLE IF NOT EXISTS shown_turns (thread_id TEXT NOT NULL, number INTEGER NOT NULL, "
    "shown TEXT NOT NULL, PRIMARY KEY (thread_id, number))"
)
_REMEMBER = (
    "INSERT INTO shown_turns SELECT :thread, coalesce(max(number), 0) + 1, :shown "
    "FROM shown_turns WHERE thread_id = :thread",
    "DELETE FROM shown_turns WHERE thread_id = :thread AND number <= "
    "(SELECT max(number) FROM shown_turns WHERE thread_id = :thread) - :most",
)
_REMEMBERED = "SELECT shown FROM shown_turns WHERE thread_id = ? ORDER BY number"
_LONGEST_UNUSED = (
    "SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY max(checkpoint_id) DESC "
    "LIMIT -1 OFFSET ?"
)


class SqliteThreads:
    """``Threads`` of one data folder."""

    def __init__(self, saver: AsyncSqliteSaver, path: Path, max_threads: int) -> None:
        self._saver = saver
        self._path = path
        self._max_threads = max_threads
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def checkpointer(self) -> BaseCheckpointSaver[str]:
        """What the graph is compiled with."""
        return self._saver

    @contextlib.asynccontextmanager
    async def turn(self, thread: str) -> AsyncIterator[None]:
        """Holds a thread for one run: runs at the same time would lose each other's turns.

        Raises:
            UnavailableError: the conversation cannot be read or written.
        """
        lock = self._turns.setdefault(thread, asyncio.Lock())
        async with lock:
            with _translated(self._path):
                yield
                await self._prune(thread)

    async def last(self, thread: str) -> dict[str, Any]:
        """The state in which its last run left a thread; empty where there was none."""
        with _translated(self._path):
            return await last_values(self._saver, thread)

    async def remember(self, thread: str, shown: str) -> None:
        """Keeps how a turn was shown, after those before it."""
        with _translated(self._path):
            await self._write(_REMEMBER, thread=thread, shown=shown, most=MAX_TURNS)

    async def remembered(self, thread: str) -> list[str]:
        """What was kept of a thread's turns, the latest last."""
        with _translated(self._path):
            async with self._saver.lock:
                rows = await self._saver.conn.execute_fetchall(_REMEMBERED, [thread])
        return [shown for (shown,) in rows]

    async def forget(self, thread: str) -> None:
        """Removes a conversation; one that does not exist is no error."""
        with _translated(self._path):
            await self._delete(thread)

    async def _prune(self, thread: str) -> None:
        await self._write(_PRUNE, thread=thread)
        async with self._saver.lock:
            rows = await self._saver.conn.execute_fetchall(_LONGEST_UNUSED, [self._max_threads])
        for (unused,) in rows:
            await self._delete(unused)

    async def _delete(self, thread: str) -> None:
        await self._saver.adelete_thread(thread)
        await self._write(["DELETE FROM shown_turns WHERE thread_id = :thread"], thread=thread)

    async def _write(self, statements: Sequence[str], **values: str | int) -> None:
        async with self._saver.lock:
            for statement in statements:
                await self._saver.conn.execute(statement, values)
            await self._saver.conn.commit()


@contextlib.asynccontextmanager
async def open_sqlite_threads(
    data_dir: Path, *, max_threads: int = MAX_THREADS
) -> AsyncIterator[SqliteThreads]:
    """The conversations in ``DATA_DIR/threads.sqlite3``; a damaged file is set aside.

    Raises:
        UnavailableError: it cannot be opened.
    """
    path = data_dir / _FILE
    async with contextlib.AsyncExitStack() as stack:
        with _translated(path, OSError):
            await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
            try:
                saver = await _open(path, stack)
            except sqlite3.DatabaseError as exc:
                if isinstance(exc, sqlite3.OperationalError):
                    raise
                aside = path.with_name(f"{_FILE}.damaged")
                await asyncio.to_thread(path.replace, aside)
                logger.warning("Conversations were lost: %s is damaged, now %s.", path, aside.name)
                saver = await _open(path, stack)
        yield SqliteThreads(saver, path, max_threads)


async def _open(path: Path, stack: contextlib.AsyncExitStack) -> AsyncSqliteSaver:
    async with contextlib.AsyncExitStack() as opened:
        connection = await opened.enter_async_context(
            aiosqlite.connect(path, timeout=_BUSY_TIMEOUT_S)
        )
        saver = AsyncSqliteSaver(connection, serde=plain_values())
        await saver.setup()
        await connection.execute(_SHOWN)
        stack.push_async_exit(opened.pop_all().__aexit__)
    return saver


@contextlib.contextmanager
def _translated(path: Path, also: type[Exception] = sqlite3.Error) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, also) as exc:
        raise UnavailableError(
            f"The conversations in {path} cannot be read or written: {exc}. Check free space and "
            "rights, or ask without a thread."
        ) from exc
