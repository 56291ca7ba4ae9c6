"""Odd names, links and devices, and folders that change meanwhile: what a sync makes of them."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.changes import FileProblem
from tests.unit.indexer.index_fakes import Index, new_index

ODD_NAMES = [
    b"n" * 252 + b".md",
    b"caf\xe9\nnew\tline.md",
    "e\u0301 \u00e9 日本 🙂.md".encode(),
    b" .md",
    b"a\\b'\"$(x).md",
    b"-rf.md",
]


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "good.md").write_text("A good file.")
    return folder


async def test_links_and_devices_hold_up_nothing(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("Secret.")
    (folder / "out").symlink_to(outside)
    (folder / "out.md").symlink_to(outside / "secret.md")
    (folder / "loop").symlink_to(folder)
    (folder / "self.md").symlink_to(folder / "self.md")
    os.mkfifo(folder / "pipe.md")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "socket.md"))
        report = await index.sync(folder)
    assert index.sources() == {"notes/good.md"}
    assert {problem.source for problem in report.skipped} == {"notes/pipe.md", "notes/socket.md"}


def write_named(folder: Path) -> None:
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"Text of " + name[:9])


async def test_odd_names_are_indexed_and_a_second_run_finds_them_unchanged(
    index: Index, folder: Path
) -> None:
    await asyncio.to_thread(write_named, folder)
    assert (await index.sync(folder)).added == len(ODD_NAMES) + 1
    for source in index.sources():
        source.encode()  # they travel as JSON
    again = await index.sync(folder)
    assert (again.unchanged, again.chunks_embedded) == (len(ODD_NAMES) + 1, 0)


async def test_an_unreadable_file_is_listed_and_the_others_are_indexed(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "locked.md").write_text("Locked.")
    refuse(monkeypatch, Path, "open", folder / "locked.md")
    report = await index.sync(folder)
    assert index.sources() == {"notes/good.md"}
    assert report.failed == [FileProblem("notes/locked.md", "it cannot be read: Permission denied")]


async def test_an_unreadable_folder_is_listed_and_the_others_are_indexed(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "locked").mkdir()
    (folder / "locked" / "a.md").write_text("Locked.")
    refuse(monkeypatch, os, "scandir", folder / "locked")
    report = await index.sync(folder)
    assert index.sources() == {"notes/good.md"}
    assert [(one.source, one.reason) for one in report.skipped] == [
        ("notes/locked", "the folder cannot be listed: Permission denied")
    ]


def refuse(patch: pytest.MonkeyPatch, owner: Any, name: str, path: Path) -> None:
    """Makes the operating system refuse one path, as it does to everybody but its administrator."""
    original = getattr(owner, name)

    def call(given: Any = ".", *more: Any, **named: Any) -> Any:
        if os.fspath(given) == str(path):
            raise PermissionError(13, "Permission denied")
        return original(given, *more, **named)

    patch.setattr(owner, name, call)


async def test_a_file_that_vanishes_before_it_is_read_is_no_error(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "short-lived.md").write_text("Gone in a moment.")
    original = Path.open

    def call(self: Path, *more: Any, **named: Any) -> Any:
        if self.name == "short-lived.md":
            self.unlink(missing_ok=True)
        return original(self, *more, **named)

    monkeypatch.setattr(Path, "open", call)
    report = await index.sync(folder)
    assert (index.sources(), report.failed) == ({"notes/good.md"}, [])


async def test_a_file_that_grows_while_it_is_read_is_complete_in_the_end(
    index: Index, folder: Path
) -> None:
    growing = folder / "growing.log"
    growing.write_text("Line 0.\n")
    stop = threading.Event()

    def grow() -> None:
        number = 0
        while not stop.wait(0.0005):
            number += 1
            with growing.open("a") as file:
                file.write(f"Line {number}.\n")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for _ in range(3):
            assert (await index.sync(folder)).failed == []
    finally:
        stop.set()
        writer.join(10)
    await index.sync(folder)
    assert "\n".join(index.texts("notes/growing.log")) == growing.read_text().rstrip()


async def test_a_folder_made_and_filled_at_once_is_found(index: Index, folder: Path) -> None:
    await index.sync(folder)
    (folder / "new" / "deep").mkdir(parents=True)
    (folder / "new" / "deep" / "a.md").write_text("New.")
    await index.sync(folder)
    assert "notes/new/deep/a.md" in index.sources()


async def test_a_name_that_changes_only_in_its_case_embeds_nothing(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    (folder / "good.md").rename(folder / "GOOD.md")
    report = await index.sync(folder)
    assert (report.moved, report.chunks_embedded) == (1, 0)
    assert index.sources() == {"notes/GOOD.md"}


@pytest.fixture
def too_deep(folder: Path) -> Iterator[Path]:
    """A folder with a file whose path is longer than the operating system allows."""
    before, depth = Path.cwd(), 25
    name = "d" * 200
    os.chdir(folder)
    for _ in range(depth):
        os.mkdir(name)  # noqa: PTH102 - one step at a time, from where it is
        os.chdir(name)
    Path("a.md").write_text("Too deep.")
    deepest = os.open(".", os.O_RDONLY)
    os.chdir(before)
    yield folder
    os.fchdir(deepest)
    os.close(deepest)
    Path("a.md").unlink()
    for _ in range(depth):  # pytest's own cleaning would fail at the same length
        os.chdir("..")
        os.rmdir(name)  # noqa: PTH106
    os.chdir(before)


async def test_a_path_too_long_for_the_operating_system_is_listed(
    index: Index, too_deep: Path
) -> None:
    report = await index.sync(too_deep)
    assert index.sources() == {"notes/good.md"}
    [problem] = report.skipped
    assert "name too long" in problem.reason


async def test_roots_inside_one_another_store_a_file_once(index: Index, folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "a.md").write_text("Inner.")
    report = await index.sync(folder, inner)
    assert (report.added, index.sources()) == (2, {"notes/good.md", "notes/inner/a.md"})


async def test_files_leave_the_index_when_a_pattern_no_longer_wants_them(
    index: Index, folder: Path
) -> None:
    (folder / "plan.txt").write_text("A plan.")
    await index.sync(folder)
    report = await index.sync(folder, include=["*.md"])
    assert (report.deleted, index.sources()) == (1, {"notes/good.md"})
    report = await index.sync(folder, exclude=["*"])
    assert (report.deleted, index.sources()) == (1, set())
    report = await index.sync(folder)
    assert (report.added, index.sources()) == (2, {"notes/good.md", "notes/plan.txt"})
