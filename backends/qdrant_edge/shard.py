"""One embedded collection on disk: a Qdrant Edge shard and the description kept beside it.

    <folder>/collection.json    vectors, metadata, and which files the shard had when last flushed
    <folder>/lock               held, by flock, by the process that has the shard open
    <folder>/shard*/            what the engine writes; the description names the one that counts

The engine opens a shard whose id tracker or segments are gone without complaint and with fewer
points, and makes new files in their place: so the files are compared with the description first,
under a lock of our own. It also dies of SIGBUS when the disk is full (it writes through memory
maps): so free space is checked before anything is written.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import qdrant_edge as edge

from backends.qdrant_edge.errors import damaged, engine_errors, folder_errors, locked, require_space
from backends.qdrant_edge.optimizing import Optimizer
from errors import VectorStoreUnavailable

logger = logging.getLogger(__name__)

FLUSH_EVERY_POINTS = 10_000
"""Bounds the write-ahead log, and with it the time to reopen after a kill."""
_FORMAT = 1
_COMES_AND_GOES = {"flags_a.dat", "flags_b.dat", "tracker_journal.dat"}
"""Files that the engine creates and drops between two flushes."""


class _Opened:
    """An engine and how many are using it at the moment."""

    def __init__(self, engine: edge.EdgeShard) -> None:
        self.engine = engine
        self.users = 0


class Shard:
    """An open shard, as thread-safe as the engine. Whoever opens it closes it."""

    def __init__(
        self, folder: Path, engine: edge.EdgeShard, description: dict[str, Any], lock: IO[bytes]
    ) -> None:
        self.folder = folder
        self.description = description
        """What was given to ``create``, with the changes made by ``describe``."""
        self._opened = _Opened(engine)
        self._lock = lock
        self._unflushed = 0
        self._writing = threading.RLock()
        """Held while the engine's files change, and while a copy of them is optimised."""
        self._changed = threading.Condition()
        """Guards which engine is open, and its users."""
        self._optimizer = Optimizer()

    @classmethod
    def create(cls, folder: Path, config: edge.EdgeConfig, description: dict[str, Any]) -> "Shard":
        """A new, empty shard: after a kill it is there completely, or not at all.

        Raises:
            SettingsError: the folder cannot be written.
            StoreLocked: another process is making it.
            VectorStoreUnavailable: the disk is full.
        """
        building = folder.with_name(f".{folder.name}.{os.getpid()}")
        with folder_errors(folder):
            shutil.rmtree(building, ignore_errors=True)
            (building / "shard").mkdir(parents=True)
            try:
                require_space(building)
                with engine_errors(folder):
                    engine = edge.EdgeShard.create(str(building / "shard"), config)
                    engine.flush()
                    engine.close()
                _write(building, description, _files(building, "shard"))
                building.rename(folder)
            except OSError as exc:
                if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):  # made by another just now
                    raise locked(folder) from exc
                raise
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Shard":
        """Open what ``create`` made.

        Raises:
            StoreLocked: another process, or another handle in this one, has it open.
            StoreDamaged: files are missing, cut short or unreadable.
            SettingsError: the folder cannot be read.
            VectorStoreUnavailable: the disk is full.
        """
        with folder_errors(folder), contextlib.ExitStack() as opened:
            require_space(folder)
            lock = opened.enter_context(_lock(folder))
            description, files = _read(folder)
            _require_files(folder, files)
            _remove_others(folder, description)
            with engine_errors(folder):
                engine = edge.EdgeShard.load(str(folder / _shard(description)))
            opened.pop_all()
        return cls(folder, engine, description, lock)

    @contextlib.contextmanager
    def engine(self) -> Iterator[edge.EdgeShard]:
        """The engine, its errors translated; it is not closed within the block."""
        with self._changed:
            opened = self._opened
            opened.users += 1
        try:
            with engine_errors(self.folder):
                yield opened.engine
        finally:
            with self._changed:
                opened.users -= 1
                self._changed.notify_all()

    def update(self, operation: edge.UpdateOperation, points: int) -> None:
        """Apply a change to about that many points. On return it survives a kill."""
        with folder_errors(self.folder):
            require_space(self.folder)
        with self._writing:
            with self.engine() as engine:
                engine.update(operation)
            self._unflushed += points
            if self._unflushed >= FLUSH_EVERY_POINTS:
                self.flush()

    def flush(self) -> None:
        """Write out what so far is only in the log, and note the files that make it up."""
        with self._writing:
            with self.engine() as engine:
                engine.flush()
            self._unflushed = 0
            self._save()

    def optimize(self) -> bool:
        """Merge segments and build the HNSW graph: takes seconds, in which searches go on and
        changes wait. False: it could not be done, for a reason that was logged."""
        with self._writing:
            self.flush()
            try:
                # a copy, and beside it the segments that are made of it
                require_space(self.folder, 2 * _size(self.folder))
            except VectorStoreUnavailable as exc:
                logger.warning("The index is not optimised, searches stay slower. %s", exc)
                return False
            with folder_errors(self.folder):
                copy = Path(tempfile.mkdtemp(prefix="shard-", dir=self.folder))
                try:
                    shutil.copytree(
                        self.folder / _shard(self.description), copy, dirs_exist_ok=True
                    )
                    return self._optimizer.run(copy) and self._replace(copy)
                finally:
                    _remove_others(self.folder, self.description)

    def describe(self, **changes: Any) -> None:
        """Change entries of the description."""
        with self._writing:
            self.description = {**self.description, **changes}
            self.flush()

    def close(self) -> None:
        """Flush and release the lock."""
        self._optimizer.stop()
        with self._writing:
            try:
                if self._unflushed:
                    self.flush()
            finally:
                with self._lock, self.engine() as engine:
                    engine.close()

    def _replace(self, copy: Path) -> bool:
        """From the writing of the description on, the copy is the shard, after a kill as well."""
        with engine_errors(self.folder):
            engine = edge.EdgeShard.load(str(copy))
        description = {**self.description, "shard": copy.name}
        _write(self.folder, description, _files(self.folder, copy.name))
        with self._changed:
            before, self._opened, self.description = self._opened, _Opened(engine), description
            self._changed.wait_for(lambda: before.users == 0)
        with engine_errors(self.folder):
            before.engine.close()
        return True

    def _save(self) -> None:
        with folder_errors(self.folder):
            files = _files(self.folder, _shard(self.description))
            _write(self.folder, self.description, files)


def _shard(description: dict[str, Any]) -> str:
    """The name of the folder that holds the engine's files."""
    name: str = description.get("shard", "shard")
    return name


def _remove_others(folder: Path, description: dict[str, Any]) -> None:
    """Removes copies that a kill left behind, and the shard that a copy has replaced."""
    for path in folder.glob("shard*"):
        if path.name != _shard(description):
            shutil.rmtree(path, ignore_errors=True)


def hold(folder: Path) -> IO[bytes]:
    """The lock of a shard that is not open here, to be closed.

    Raises:
        StoreLocked: another process has the shard open.
    """
    with folder_errors(folder):
        return _lock(folder)


def _lock(folder: Path) -> IO[bytes]:
    """An open file that keeps others out; the system lets go of it when the process ends."""
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        file.close()
        raise locked(folder) from exc
    return file


def _write(folder: Path, description: dict[str, Any], files: dict[str, int]) -> None:
    """Replace the description in one step."""
    new = folder / "collection.json.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, **description, "files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / "collection.json")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The description and the sizes of the files that must be there."""
    try:
        content = json.loads((folder / "collection.json").read_bytes())
        version, files = content.pop("format"), content.pop("files")
        content["vectors"], content["sparse_vectors"], content["metadata"]
    except FileNotFoundError as exc:
        raise damaged(folder, "collection.json is missing") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise damaged(folder, "collection.json cannot be read") from exc
    if version != _FORMAT:
        raise damaged(folder, f"its format is {version}, this version reads {_FORMAT}")
    return content, files


def _files(folder: Path, shard: str) -> dict[str, int]:
    """The least size in bytes of each lasting file of the segments, by path below the folder."""
    return {
        # JSON files are rewritten, the others only grow.
        path.relative_to(folder).as_posix(): 1 if path.suffix == ".json" else path.stat().st_size
        for path in sorted(folder.glob(f"{shard}/segments/*/**/*"))
        if path.is_file() and path.name not in _COMES_AND_GOES
    }


def _require_files(folder: Path, files: dict[str, int]) -> None:
    """Files go away when segments are replaced, which only ``optimize`` does."""
    for name, size in files.items():
        try:
            found = (folder / name).stat().st_size
        except FileNotFoundError as exc:
            raise damaged(folder, f"{name} is missing") from exc
        if found < size:
            raise damaged(folder, f"{name} is cut short: {found} bytes of {size}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
