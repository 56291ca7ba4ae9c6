import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from errors import DataError, StoreDamaged
from indexer.manifest import Manifest, manifest_path
from indexer.records import FileRecord, PointRecord, Root


@pytest.fixture
async def manifest(tmp_path: Path) -> AsyncIterator[Manifest]:
    manifest = await Manifest.open(tmp_path, "documents")
    await manifest.keep_root(Root("/notes", 1, 2))
    yield manifest
    await manifest.aclose()


def record(path: str) -> FileRecord:
    return FileRecord(
        root="/notes",
        path=path,
        source=f"notes/{path}",
        size=3,
        mtime_ns=4,
        inode=5,
        checked_ns=6,
        content_hash="bytes",
        state="indexed",
        reason="",
        recipe="1",
        indexed_at=7.0,
    )


def point(name: str, content_hash: str = "text") -> PointRecord:
    return PointRecord(name, content_hash, 9, "payload")


async def test_what_is_committed_is_read_back(manifest: Manifest) -> None:
    await manifest.commit([(record("a"), [point("2"), point("1")])])
    assert await manifest.files("/notes") == [record("a")]
    assert await manifest.points([record("a")]) == [[point("2"), point("1")]]


async def test_it_survives_being_closed(manifest: Manifest, tmp_path: Path) -> None:
    await manifest.commit([(record("a"), [point("1")])])
    await manifest.aclose()
    again = await Manifest.open(tmp_path, "documents")
    assert await again.documents() == [record("a")]
    await again.aclose()


async def test_intended_points_are_in_doubt_until_committed(manifest: Manifest) -> None:
    await manifest.commit([(record("a"), [point("1")])])
    await manifest.intend([(record("a"), [point("1"), point("2")])])
    (file,) = await manifest.files("/notes")
    assert file.state == "pending"
    ((first, second),) = await manifest.points([record("a")])
    assert (first.payload_hash, second.payload_hash) == (None, None)
    await manifest.commit([(record("a"), [point("2")])])
    assert await manifest.points([record("a")]) == [[point("2")]]
    assert (await manifest.files("/notes"))[0].state == "indexed"


async def test_below_takes_a_folder_and_not_its_namesakes(manifest: Manifest) -> None:
    paths = ["a", "a%/x", "ab", "b/1", "b/c/2", "bc/3"]
    await manifest.commit([(record(path), []) for path in paths])
    assert [file.path for file in await manifest.files("/notes", "b")] == ["b/1", "b/c/2"]
    assert [file.path for file in await manifest.files("/notes", "a")] == ["a"]
    assert [file.path for file in await manifest.files("/notes", "a%")] == ["a%/x"]


async def test_a_holder_is_a_certain_point_where_there_is_one(manifest: Manifest) -> None:
    await manifest.intend([(record("a"), [point("1"), point("2", "other")])])
    await manifest.commit([(record("b"), [point("3")])])
    holders = await manifest.holders(["text", "other", "unknown"])
    assert holders == {"text": "3", "other": "2"}


async def test_removing_a_root_removes_its_files_and_points(manifest: Manifest) -> None:
    await manifest.commit([(record("a"), [point("1")])])
    await manifest.remove_root("/notes")
    assert await manifest.documents() == []
    assert await manifest.count() == 0


async def test_a_lost_point_makes_its_file_pending(manifest: Manifest) -> None:
    await manifest.commit([(record("a"), [point("1")]), (record("b"), [point("2")])])
    await manifest.lose(["1"])
    assert [file.state for file in await manifest.files("/notes")] == ["pending", "indexed"]
    assert await manifest.point_ids() == {"2"}


async def test_the_summary_counts_by_state(manifest: Manifest) -> None:
    failed = record("b")._replace(state="failed", reason="it is broken")
    await manifest.commit([(record("a"), [point("1"), point("2")]), (failed, [])])
    (line,) = await manifest.summary()
    assert (line.indexed, line.failed, line.empty, line.pending, line.chunks) == (1, 1, 0, 0, 2)


async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = manifest_path(tmp_path, "documents")
    path.parent.mkdir()
    path.write_bytes(b"something else" * 1000)
    manifest = await Manifest.open(tmp_path, "documents")
    assert await manifest.documents() == []
    assert (tmp_path / "manifests" / "documents.sqlite3.damaged").is_file()
    await manifest.aclose()


async def test_damage_found_later_is_explained_and_set_aside(tmp_path: Path) -> None:
    manifest = await Manifest.open(tmp_path, "documents")
    await manifest.keep_root(Root("/notes", 1, 2))
    await manifest.commit([(record(f"{n}"), [point(f"{n}")]) for n in range(2000)])
    await manifest.aclose()
    path = tmp_path / "manifests" / "documents.sqlite3"
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    damaged = Manifest(tmp_path)
    with pytest.raises(StoreDamaged, match="Run the command again"):
        await damaged.documents()
    assert await damaged.documents() == []
    await damaged.aclose()


async def test_a_newer_versions_file_is_left_alone(tmp_path: Path) -> None:
    path = manifest_path(tmp_path, "documents")
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    manifest = Manifest(tmp_path)
    with pytest.raises(DataError, match="newer version"):
        await manifest.count()
    await manifest.aclose()
