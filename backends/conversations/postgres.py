"""Conversations in PostgreSQL: for several workers, which take turns by advisory locks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from weakref import WeakValueDictionary

import psycopg
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from backends.conversations.threads import MAX_THREADS, MAX_TURNS, last_values, plain_values
from errors import SettingsError, UnavailableError

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]

_CONNECT_TIMEOUT_S = 5
_OPENED_WITHIN_S = 10.0
_STATEMENT_TIMEOUT_MS = 10_000
_TURN_TIMEOUT_S = 120.0
"""For the runs before it on the same thread."""
_CONNECTIONS = 4
_TURNS = 32
"""Connections that wait for or hold a thread's lock: runs on threads at the same time."""

# Numbers of one's own for locks: the first half says that it is Tandem's.
_LOCK = "SELECT pg_advisory_lock(7463686, hashtext(%s))"
_UNLOCK = "SELECT pg_advisory_unlock(7463686, hashtext(%s))"
_SETUP = "set-up"

_LATEST = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = %(thread)s)"
# The names are fixed; the thread is a parameter.
_PRUNE = (
    f"DELETE FROM checkpoint_writes WHERE thread_id = %(thread)s AND checkpoint_id < {_LATEST}",  # noqa: S608 - see above
    f"DELETE FROM checkpoints WHERE thread_id = %(thread)s AND checkpoint_id < {_LATEST}",  # noqa: S608 - see above
    "DELETE FROM checkpoint_blobs b WHERE thread_id = %(thread)s AND NOT EXISTS (SELECT FROM "
    "checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns AND "
    "c.checkpoint -> 'channel_versions' ->> b.channel = b.version)",
)
_SHOWN = (
    "CREATE TABLE IF NOT EXISTS shown_turns (thread_id TEXT NOT NULL, number INTEGER NOT NULL, "
    "shown TEXT NOT NULL, PRIMARY KEY (thread_id, number))"
)
_REMEMBER = (
    "INSERT INTO shown_turns SELECT %(thread)s, coalesce(max(number), 0) + 1, %(shown)s "
    "FROM shown_turns WHERE thread_id = %(thread)s",
    "DELETE FROM shown_turns WHERE thread_id = %(thread)s AND number <= "
    "(SELECT max(number) FROM shown_turns WHERE thread_id = %(thread)s) - %(most)s",
)
_REMEMBERED = "SELECT shown FROM shown_turns WHERE thread_id = %s ORDER BY number"
_FORGET = "DELETE FROM shown_turns WHERE thread_id = %s"
_LONGEST_UNUSED = (
    "SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY max(checkpoint_id) DESC "
    "OFFSET %s LIMIT 100"
)


class PostgresThreads:
    """``Threads`` of one database."""

    def __init__(
        self, saver: AsyncPostgresSaver, pool: Pool, locks: Pool, place: str, max_threads: int
    ) -> None:
        self._saver = saver
        self._pool = pool
        self._locks = locks
        self._place = place
        self._max_threads = max_threads
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def checkpointer(self) -> BaseCheckpointSaver[str]:
        """What the graph is compiled with."""
        return self._saver

    @contextlib.asynccontextmanager
    async def turn(self, thread: str) -> AsyncIterator[None]:
        """Holds a thread, in this worker first, so that a thread takes one connection of it."""
        turn = self._turns.setdefault(thread, asyncio.Lock())
        async with turn:
            with _translated(self._place):
                async with _locked(self._locks, thread):
                    yield
                    await self._prune(thread)

    async def last(self, thread: str) -> dict[str, Any]:
        """The state in which its last run left a thread; empty where there was none."""
        with _translated(self._place):
            return await last_values(self._saver, thread)

    async def remember(self, thread: str, shown: str) -> None:
        """Keeps how a turn was shown, after those before it."""
        values = {"thread": thread, "shown": shown, "most": MAX_TURNS}
        with _translated(self._place):
            async with self._pool.connection() as connection:
                for statement in _REMEMBER:
                    await connection.execute(statement, values)

    async def remembered(self, thread: str) -> list[str]:
        """What was kept of a thread's turns, the latest last."""
        with _translated(self._place):
            async with self._pool.connection() as connection:
                found = await connection.execute(_REMEMBERED, [thread])
                return [str(row["shown"]) async for row in found]

    async def forget(self, thread: str) -> None:
        """Removes a conversation; one that does not exist is no error."""
        with _translated(self._place):
            await self._delete(thread)

    async def _delete(self, thread: str) -> None:
        await self._saver.adelete_thread(thread)
        async with self._pool.connection() as connection:
            await connection.execute(_FORGET, [thread])

    async def _prune(self, thread: str) -> None:
        async with self._pool.connection() as connection:
            for statement in _PRUNE:
                await connection.execute(statement, {"thread": thread})
            found = await connection.execute(_LONGEST_UNUSED, [self._max_threads])
            unused = [str(row["thread_id"]) async for row in found]
        for other in unused:
            await self._delete(other)


@contextlib.asynccontextmanager
async def open_postgres_threads(
    url: str, *, max_threads: int = MAX_THREADS
) -> AsyncIterator[PostgresThreads]:
    """The conversations in a database, whose tables are made where they are missing.

    Raises:
        SettingsError: the address is none.
        UnavailableError: the database does not answer.
    """
    place = _place(url)
    async with contextlib.AsyncExitStack() as stack:
        with _translated(place):
            # Fails at once and says why, where a pool would wait and say nothing.
            async with await psycopg.AsyncConnection.connect(
                url, connect_timeout=_CONNECT_TIMEOUT_S
            ):
                pass
            pool = _pool(url, _CONNECTIONS, _STATEMENT_TIMEOUT_MS)
            locks = _pool(url, _TURNS, statement_timeout_ms=0)
            for each in (pool, locks):
                stack.push_async_callback(each.close)
                # Without a connection that the server has room for, nothing is ever answered.
                await each.open(wait=True, timeout=_OPENED_WITHIN_S)
            saver = AsyncPostgresSaver(pool, serde=plain_values())
            async with _locked(locks, _SETUP):  # workers start at the same time
                await saver.setup()
                async with pool.connection() as connection:
                    await connection.execute(_SHOWN)
        yield PostgresThreads(saver, pool, locks, place, max_threads)


def _pool(url: str, size: int, statement_timeout_ms: int) -> Pool:
    kwargs: dict[str, Any] = {
        "autocommit": True,
        "prepare_threshold": 0,
        "row_factory": dict_row,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "options": f"-c statement_timeout={statement_timeout_ms}",
    }
    return AsyncConnectionPool(
        url, min_size=1, max_size=size, kwargs=kwargs, open=False, timeout=_TURN_TIMEOUT_S
    )


@contextlib.asynccontextmanager
async def _locked(pool: Pool, name: str) -> AsyncIterator[None]:
    """Holds an advisory lock; the server releases it when this process dies."""
    async with pool.connection() as connection:
        try:
            async with asyncio.timeout(_TURN_TIMEOUT_S):
                await connection.execute(_LOCK, [name])
        except BaseException as exc:
            await connection.close()  # it may have got the lock all the same
            if isinstance(exc, TimeoutError):
                raise UnavailableError(
                    f"The question before this one on its thread took longer than "
                    f"{_TURN_TIMEOUT_S:g} s. Ask again, or on another thread."
                ) from exc
            raise
        try:
            yield
        finally:
            try:
                await connection.execute(_UNLOCK, [name])
            except BaseException:
                await connection.close()
                raise


def _place(url: str) -> str:
    """The database as messages may name it: without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as exc:
        raise SettingsError(
            "TANDEM_THREADS_URL is no address like postgresql://user:password@host/database."
        ) from exc
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


@contextlib.contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, PoolTimeout) as exc:
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise UnavailableError(
            f"The conversations in PostgreSQL at {place} cannot be read or written: {reason}. "
            "Check TANDEM_THREADS_URL and the server, or ask without a thread."
        ) from exc
