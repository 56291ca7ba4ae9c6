"""The SQLite file behind the manifest: one connection, one thread, and its failures in our terms.

Everything SQLite does happens on one thread of its own: the event loop never waits for a disk, and
writes keep their order without locks.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from errors import DataError, StoreDamaged, StoreLocked, UnavailableError

T = TypeVar("T")

_BUSY_TIMEOUT_S = 10.0
_DAMAGE = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


class Database:
    """A SQLite file with migrations; opened by the first use, closed with ``aclose``.

    A damaged file is set aside as ``NAME.damaged`` and an empty one takes its place: what it held
    can be had from elsewhere. ``migrations`` are scripts, one a version, kept in ``user_version``.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path = path
        self._migrations = migrations
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="manifest")

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` with the connection, on the database's thread.

        Raises:
            StoreDamaged: the file is damaged; it has been set aside.
            StoreLocked: another process has been writing for longer than we wait.
            UnavailableError: the disk is full or the file cannot be opened.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` as one transaction: all of it or nothing. Raises as ``read`` does."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                return work(connection)

        return await self.read(transaction)

    async def aclose(self) -> None:
        """Closes the file and ends the thread. Harmless when repeated."""

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        with contextlib.suppress(RuntimeError):  # the thread has ended: nothing is open
            await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown(wait=False)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated():
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.DatabaseError as exc:
            if exc.sqlite_errorname not in _DAMAGE:
                raise
            self._set_aside()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise DataError(
                f"{self.path} was written by a newer version of Tandem: upgrade this one, or "
                "delete the file; it is rebuilt from the vector store."
            )
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
            )

    def _set_aside(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as exc:
            name = getattr(exc, "sqlite_errorname", "")
            if name in _DAMAGE:
                self._set_aside()
                raise StoreDamaged(
                    f"{self.path} was damaged and has been set aside. Run the command again: it "
                    "is rebuilt from the vector store."
                ) from exc
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise StoreLocked(
                    f"{self.path} is in use by another process; try again when it is done."
                ) from exc
            if isinstance(exc, sqlite3.OperationalError):
                raise UnavailableError(
                    f"{self.path} cannot be read or written: {exc}. Check free space and rights."
                ) from exc
            raise
        except OSError as exc:
            raise UnavailableError(f"{self.path} cannot be opened: {exc.strerror}.") from exc


class ProcessLock:
    """At most one holder: tasks of this process wait for each other, another process is told.

    An exclusive SQLite transaction on an empty file: the system releases it when a process dies,
    on every platform.
    """

    def __init__(self, path: Path, message: str) -> None:
        self._path = path
        self._message = message
        self._tasks = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Holds the lock for a ``with`` block.

        Raises:
            StoreLocked: another process holds it; the message is the one given.
        """
        async with self._tasks:
            connection = await asyncio.to_thread(self._take)
            try:
                yield
            finally:
                connection.close()

    def _take(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.OperationalError) as exc:
            raise UnavailableError(f"{self._path} cannot be opened: {exc}.") from exc
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as exc:
            connection.close()
            raise StoreLocked(self._message) from exc
        return connection
