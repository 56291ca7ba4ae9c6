"""Syncing just what a watcher saw change."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from errors import PathError
from indexer.records import Root
from indexer.roots import covering
from indexer.sources import SkippedFile, SourceFile, discover, look_at
from tests.unit.indexer.index_fakes import Index, new_index


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep/c.txt", "deep/er/d.txt"):
        (folder / name).write_text(f"This is {name}.\n")
    return folder


def unmount(folder: Path) -> None:
    """Leaves an empty mount point."""
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()


def listed_folders() -> list[str]:
    """A list that grows with every folder listed from now on."""
    listed: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.scandir", "os.listdir"):
            listed.append(str(arguments[0]))

    sys.addaudithook(hook)
    return listed


async def test_a_touched_file_is_synced_without_walking_its_root(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    (folder / "a.txt").write_text("Edited.\n")
    (folder / "b.txt").unlink()
    listed = listed_folders()
    report = await index.sync(folder / "a.txt", folder / "b.txt", touched=True)
    assert (report.changed, report.deleted, report.unchanged) == (1, 1, 0)
    assert [name for name in listed if name.startswith(str(folder))] == []
    assert index.texts("notes/a.txt") == ["Edited."]
    assert "notes/b.txt" not in index.sources()


async def test_a_touched_folder_that_is_gone_takes_its_files_along(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    embedded = len(index.embeddings.embedded)
    (folder / "deep").rename(folder / "moved")
    report = await index.sync(folder / "deep", folder / "moved", touched=True)
    assert (report.moved, report.deleted) == (2, 0)
    assert {(change.kind, change.source, change.detail) for change in report.changes} == {
        ("moved", "notes/moved/c.txt", "notes/deep/c.txt"),
        ("moved", "notes/moved/er/d.txt", "notes/deep/er/d.txt"),
    }
    assert len(index.embeddings.embedded) == embedded


async def test_a_path_outside_the_known_roots_means_nothing(index: Index, folder: Path) -> None:
    report = await index.sync(folder / "a.txt", touched=True)
    assert (report.added, index.sources()) == (0, set())


async def test_a_touched_file_that_a_rule_leaves_out_leaves_the_index(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    (folder / ".gitignore").write_text("a.txt\n")
    await index.sync(folder / "a.txt", touched=True)
    assert "notes/a.txt" not in index.sources()


async def test_touched_paths_below_a_root_that_is_gone_are_refused(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    unmount(folder)
    with pytest.raises(PathError, match="not mounted"):
        await index.sync(folder / "a.txt", touched=True)
    assert len(index.sources()) == 4


def test_a_path_is_covered_by_its_innermost_root_and_once() -> None:
    known = [Root("/notes", 1, 1), Root("/notes/inner", 1, 2)]
    touched = [
        Path("/notes/inner/a/b.txt"),
        Path("/notes/inner/a"),
        Path("/notes/c.txt"),
        Path("/notesandmore/d.txt"),
    ]
    found = {(str(scope.root), scope.below) for scope in covering(touched, known)}
    assert found == {("/notes/inner", "a"), ("/notes", "c.txt")}


def test_looking_at_each_place_finds_what_a_walk_finds(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.txt").write_text("x")
    (folder / "deep" / ".gitignore").write_text("c.txt\n/er/\n")
    (folder / "big.txt").write_text("x" * 200)
    (folder / "link.txt").symlink_to(folder / "a.txt")

    def found(files: Any) -> set[str]:
        return {f"{type(file).__name__} {file.source}" for file in files}

    walked = found(discover(folder, max_bytes=100))
    places = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    assert found(f for place in places for f in look_at(folder, place, max_bytes=100)) == walked
    assert found(look_at(folder, "", max_bytes=100)) == walked
    assert found(look_at(folder, "gone/x.txt", max_bytes=100)) == set()
    assert f"{SkippedFile.__name__} notes/big.txt" in walked
    assert f"{SourceFile.__name__} notes/a.txt" in walked
