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

from backends.conversations.threads import MAX_THREADS, last_values, plain_values
from errors import SettingsError, UnavailableError

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]

_CONNECT_TIMEOUT_S = 5
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

    async def forget(self, thread: str) -> None:
        """Removes a conversation; one that does not exist is no error."""
        with _translated(self._place):
            await self._saver.adelete_thread(thread)

    async def _prune(self, thread: str) -> None:
        async with self._pool.connection() as connection:
            for statement in _PRUNE:
                await connection.execute(statement, {"thread": thread})
            found = await connection.execute(_LONGEST_UNUSED, [self._max_threads])
            unused = [str(row["thread_id"]) async for row in found]
        for other in unused:
            await self._saver.adelete_thread(other)


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
            pool = await stack.enter_async_context(_pool(url, _CONNECTIONS, _STATEMENT_TIMEOUT_MS))
            locks = await stack.enter_async_context(_pool(url, _TURNS, statement_timeout_ms=0))
            saver = AsyncPostgresSaver(pool, serde=plain_values())
            async with _locked(locks, _SETUP):  # workers start at the same time
                await saver.setup()
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
