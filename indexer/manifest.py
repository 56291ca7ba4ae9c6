"""What the index holds, as far as the folders are concerned: roots, files and their points.

The vector store is the truth; this is its mirror, keyed by file, so that a run that finds nothing
to do is a directory walk. It never knows less than the store: points are written here, as
*intended*, before they are stored. One transaction makes them certain and has the file's others
*leave*; those are forgotten here only after they are deleted there. So whatever a crash leaves
behind is known, kept from searches and put right by the next sync.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from indexer import schema
from indexer.database import Database, ProcessLock
from indexer.records import FileRecord, PointRecord, Root, RootSummary, Stamp

_FILES = ("-wal", "-shm", "")
"""What SQLite appends; the database itself last."""

FilePoints = tuple[FileRecord, Sequence[PointRecord]]


class Manifest:
    """The mirror of one collection, in ``DATA_DIR/manifests/COLLECTION.sqlite3``.

    Its file is named by the collection, so that whoever switches to another collection has that
    one's manifest. Opens on first use; ``aclose`` closes it. Every method raises StoreDamaged,
    StoreLocked or UnavailableError where SQLite fails.
    """

    def __init__(self, data_dir: Path, collection: str = "documents") -> None:
        self.data_dir = data_dir
        self._identity = data_dir / "identity"
        path = manifest_path(data_dir, collection)
        self._database = Database(path, schema.MIGRATIONS)
        self._lock = ProcessLock(
            path.with_suffix(".lock"),
            f"Another process is indexing into {data_dir}. Wait until it is done, or stop it.",
        )

    @classmethod
    async def open(cls, data_dir: Path, collection: str) -> Self:
        """A manifest that is open already: problems with its file show here."""
        await asyncio.to_thread(_take_over, data_dir, collection)
        manifest = cls(data_dir, collection)
        await manifest.count()
        return manifest

    def exists(self) -> bool:
        """Whether it has been written: only asking makes none."""
        return self._database.path.exists()

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Held by whoever changes the index. Raises StoreLocked where another process does."""
        return self._lock.hold()

    async def aclose(self) -> None:
        """Closes the file."""
        await self._database.aclose()

    # roots

    async def roots(self) -> list[Root]:
        """All known roots, by path."""
        return await self._database.read(lambda db: [Root(*r) for r in db.execute(schema.ROOTS)])

    async def keep_root(self, root: Root) -> None:
        """Adds a root, or notes which folder it is now."""
        await self._database.write(lambda db: db.execute(schema.KEEP_ROOT, root))

    async def remove_root(self, path: str) -> None:
        """Forgets a root with everything below it."""
        sql = "DELETE FROM roots WHERE path = ?"
        await self._database.write(lambda db: db.execute(sql, [path]))

    async def summary(self) -> list[RootSummary]:
        """One line a root, for people."""
        return await self._database.read(
            lambda db: [RootSummary(*row) for row in db.execute(schema.SUMMARY)]
        )

    async def note_checked(self, roots: Sequence[str], when: float) -> None:
        """Notes when these roots were last compared with their folders, whole and to the end."""
        rows = [(f"checked {root}", repr(when)) for root in roots]
        if rows:
            await self._database.write(lambda db: db.executemany(schema.REMEMBER, rows))

    async def checked(self) -> dict[str, float | None]:
        """For each root when it was last compared, in seconds since the epoch, if ever."""
        return await self._database.read(
            lambda db: {
                root: None if when is None else float(when)
                for root, when in db.execute(schema.CHECKED)
            }
        )

    # files

    async def indexed(self) -> int:
        """How many files have passages in the index."""
        sql = "SELECT count(*) FROM files WHERE state = 'indexed'"
        return await self._database.read(lambda db: int(db.execute(sql).fetchone()[0]))

    async def files(self, root: str, below: str = "") -> list[FileRecord]:
        """The files of a root; with ``below``: only that file, or those under that folder."""
        sql = schema.FILES_BELOW if below else schema.FILES
        which = {"root": root, "below": below}
        return await self._database.read(
            lambda db: [FileRecord(*row) for row in db.execute(sql, which)]
        )

    async def stamps(
        self, root: Path, *, recipe: str | None, max_bytes: int, racy_ns: int
    ) -> set[Stamp]:
        """The stamp of each file of a root: without a size where the file needs a look.

        ``recipe`` made the chunks of those that need none; None is nobody's. ``racy_ns`` is how
        long before it was checked such a file was written.
        """
        which = {
            "root": str(root),
            "name": root.name,
            "recipe": recipe,
            "max_bytes": max_bytes,
            "racy_ns": racy_ns,
        }
        return await self._database.read(lambda db: set(db.execute(schema.STAMPS, which)))

    async def documents(self) -> list[FileRecord]:
        """Every file of every root, for people."""
        return [file for root in await self.roots() for file in await self.files(root.path)]

    async def intend(self, files: Sequence[FilePoints]) -> None:
        """Says that these points are about to be written.

        The files are pending until they are committed. What was known of them stays known.
        """

        def intend(db: sqlite3.Connection) -> None:
            for file, points in files:
                key = (file.root, file.path, file.source)
                ((file_id,),) = db.execute(schema.INTEND_FILE, key).fetchall()
                rows = ((p.id, file_id, n, p.content_hash, p.tokens) for n, p in enumerate(points))
                db.executemany(schema.INTEND_POINT, rows)
                db.executemany(schema.STAY, ((p.id,) for p in points))

        await self._database.write(intend)

    async def commit(self, files: Sequence[FilePoints]) -> None:
        """These files now have exactly these points, and the store holds them; others leave."""

        def commit(db: sqlite3.Connection) -> None:
            for file, points in files:
                ((file_id,),) = db.execute(schema.COMMIT_FILE, file).fetchall()
                db.execute(schema.LEAVE, [file_id])
                db.execute("DELETE FROM points WHERE file_id = ?", [file_id])
                rows = ((p.id, file_id, n, *p[1:]) for n, p in enumerate(points))
                db.executemany(schema.COMMIT_POINT, rows)
                db.executemany(schema.STAY, ((p.id,) for p in points))

        await self._database.write(commit)

    async def refresh(self, files: Sequence[FileRecord]) -> None:
        """Files that were touched but hold the same bytes: only what ``stat`` says is new."""
        rows = [(f.size, f.mtime_ns, f.inode, f.checked_ns, f.root, f.path) for f in files]
        await self._database.write(lambda db: db.executemany(schema.REFRESH_FILE, rows))

    async def remove(self, files: Sequence[FileRecord]) -> None:
        """Forgets files; their points leave."""
        rows = [(file.root, file.path) for file in files]

        def remove(db: sqlite3.Connection) -> None:
            db.executemany(schema.LEAVE_WITH_FILE, rows)
            db.executemany(schema.REMOVE_FILE, rows)

        await self._database.write(remove)

    # points

    async def points(self, files: Sequence[FileRecord]) -> list[list[PointRecord]]:
        """Every point that the store may hold for each file, intended ones included."""

        def look_up(db: sqlite3.Connection) -> list[list[PointRecord]]:
            keys = ((file.root, file.path) for file in files)
            return [
                [PointRecord(*row) for row in db.execute(schema.POINTS_OF_FILE, key)]
                for key in keys
            ]

        return await self._database.read(look_up)

    async def holders(self, content_hashes: Sequence[str]) -> dict[str, str]:
        """For each known hash a point whose dense vector can be reused, a certain one if any."""
        wanted = [json.dumps(content_hashes)]
        return await self._database.read(
            lambda db: {row[0]: row[1] for row in db.execute(schema.HOLDERS, wanted)}
        )

    async def point_ids(self) -> set[str]:
        """The ids of all points that the store may hold."""
        return await self._database.read(
            lambda db: {row[0] for row in db.execute(schema.POINT_IDS)}
        )

    async def unsettled(self) -> list[str]:
        """Points that belong to no complete version: intended ones, and those that leave."""
        return await self._database.read(
            lambda db: [row[0] for row in db.execute(schema.UNSETTLED)]
        )

    async def leaving(self) -> list[str]:
        """Points that are to be deleted from the store."""
        sql = "SELECT id FROM leaving"
        return await self._database.read(lambda db: [row[0] for row in db.execute(sql)])

    async def left(self, ids: Sequence[str]) -> None:
        """These points are deleted from the store."""
        gone = [json.dumps(ids)]
        await self._database.write(lambda db: db.execute(schema.LEFT, gone))

    async def count(self) -> int:
        """How many points the store should hold, intended and leaving ones included."""
        return await self._database.read(lambda db: int(db.execute(schema.COUNT).fetchone()[0]))

    async def sample(self, size: int) -> list[str]:
        """Up to ``size`` (at most 256) ids of certain points, spread over the space of ids."""
        starts = [f"{number * 256 // size:02x}" for number in range(size)]

        def look_up(db: sqlite3.Connection) -> list[str]:
            rows = (db.execute(schema.SAMPLE, [start]).fetchone() for start in starts)
            return sorted({row[0] for row in rows if row is not None})

        return await self._database.read(look_up)

    async def adopt(self, points: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Takes in points (id, metadata) that the store holds and the manifest did not know."""

        def adopt(db: sqlite3.Connection) -> None:
            for point, metadata in points:
                root, source = str(metadata["root"]), str(metadata["source"])
                db.execute("INSERT OR IGNORE INTO roots VALUES (NULL, ?, 0, 0)", [root])
                key = (root, source.partition("/")[2], source)
                ((file_id,),) = db.execute(schema.INTEND_FILE, key).fetchall()
                content_hash = str(metadata.get("content_hash", ""))
                where, tokens = metadata.get("position", 0), metadata.get("tokens", 0)
                row = (point, file_id, where, content_hash, tokens, "")
                db.execute(schema.COMMIT_POINT, row)

        await self._database.write(adopt)

    async def lose(self, ids: Sequence[str]) -> None:
        """Forgets points that the store does not hold; their files become pending."""
        lost = [json.dumps(ids)]

        def forget(db: sqlite3.Connection) -> None:
            db.execute(schema.DOUBT_FILES_OF_POINTS, lost)
            db.execute(schema.LOSE_POINTS, lost)
            db.execute(schema.LEFT, lost)

        await self._database.write(forget)

    # facts

    async def data_folder(self) -> str:
        """The name of the data folder, made up once; it survives the loss of the manifest."""

        def name(_: sqlite3.Connection) -> str:
            with contextlib.suppress(FileNotFoundError):
                return self._identity.read_text(encoding="ascii").strip()
            new = self._identity.with_name("identity.new")
            new.write_text(str(uuid4()), encoding="ascii")
            return new.replace(self._identity).read_text(encoding="ascii")

        return await self._database.read(name)

    async def fact(self, name: str) -> str | None:
        """A remembered value, such as the store's fingerprint."""
        sql = "SELECT value FROM facts WHERE name = ?"
        row = await self._database.read(lambda db: db.execute(sql, [name]).fetchone())
        return None if row is None else str(row[0])

    async def remember(self, name: str, value: str) -> None:
        """Remembers a value until the manifest is lost."""
        await self._database.write(lambda db: db.execute(schema.REMEMBER, [name, value]))


def manifest_path(data_dir: Path, collection: str) -> Path:
    """The file of a collection's manifest; any character may be in the collection's name."""
    return data_dir / "manifests" / f"{quote(collection, safe='')}.sqlite3"


def discard_manifest(data_dir: Path, collection: str) -> None:
    """Removes the manifest of a collection that is gone; nobody may have it open."""
    path = manifest_path(data_dir, collection)
    for suffix in _FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


def _take_over(data_dir: Path, collection: str) -> None:
    """An earlier version had one manifest for all collections: it becomes the first one's.

    Should it be another one's, the sync that compares it with the store puts it right.
    """
    old, new = data_dir / "manifest.sqlite3", manifest_path(data_dir, collection)
    if not old.exists() or new.exists():
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    for suffix in _FILES:
        part = old.with_name(old.name + suffix)
        if part.exists():
            part.replace(new.with_name(new.name + suffix))
