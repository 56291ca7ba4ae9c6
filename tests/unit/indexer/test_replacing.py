"""What a search sees of a document while one version takes the place of another."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from backends.vector_store import Point
from backends.visibility import Visibility
from errors import VectorStoreUnavailable
from indexer.manifest import Manifest
from indexer.replacing import hide_unsettled
from tests.unit.indexer.index_fakes import Index, Killed, from_scratch, new_index

Version = frozenset[tuple[str, int]]
"""Of one file: the texts and the lines on which they begin."""


@pytest.fixture
async def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Index]:
    monkeypatch.setattr("indexer.pipeline._FIRST_WINDOW", 3)
    monkeypatch.setattr("indexer.pipeline._WINDOW", 5)
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def write(folder: Path, name: str, version: int, sections: int = 17) -> None:
    """Most sections are those of the version before, on other lines; one is new."""
    parts = [f"## Part {n}\n\n" + f"Word{n} " * 40 for n in range(sections) if n != version]
    parts.insert(version % 5, f"## New {version}\n\n" + f"Word{version} " * 40)
    (folder / name).write_text("\n" * version + "\n\n".join(parts))


def versions(points: Sequence[Point]) -> dict[str, Version]:
    """What is there of each file."""
    found: dict[str, set[tuple[str, int]]] = {}
    for point in points:
        lines = found.setdefault(point.metadata["source"], set())
        lines.add((point.text, point.metadata["start_line"]))
    return {source: frozenset(lines) for source, lines in found.items()}


async def whole(folder: Path, tmp_path: Path) -> dict[str, Version]:
    """The versions of the files as they are now."""
    return versions(list((await from_scratch(tmp_path / "scratch", folder)).values()))


@pytest.mark.parametrize("seed", range(5))
async def test_every_search_sees_one_whole_version(
    index: Index, folder: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    seen: list[dict[str, Version]] = []
    done = asyncio.Event()

    async def search_on() -> None:
        while not done.is_set():
            found = await index.store.search(chance.randrange(12))
            seen.append(versions(found))
            await asyncio.sleep(0)

    allowed: dict[str, set[Version]] = {"notes/a.md": set(), "notes/b.md": set()}
    write(folder, "b.md", 0, sections=2)
    await index.sync(folder)
    searching = [asyncio.create_task(search_on()) for _ in range(3)]
    for version in range(4):
        write(folder, "a.md", version, sections=17 - version)
        write(folder, "b.md", version, sections=2 + version)
        for source, text in (await whole(folder, tmp_path / str(version))).items():
            allowed[source].add(text)
        await index.sync(folder)
    done.set()
    await asyncio.gather(*searching)
    for found in seen:
        assert found["notes/b.md"] in allowed["notes/b.md"]  # never absent
        assert found.get("notes/a.md") in allowed["notes/a.md"] | {None}  # new: whole or not yet
    assert len({found.get("notes/a.md") for found in seen}) > 3


async def test_a_deleted_document_goes_whole(index: Index, folder: Path, tmp_path: Path) -> None:
    write(folder, "a.md", 1)
    write(folder, "b.md", 1)
    await index.sync(folder)
    before = (await whole(folder, tmp_path))["notes/a.md"]
    (folder / "a.md").unlink()
    syncing = asyncio.create_task(index.sync(folder))
    seen = []
    while not syncing.done():
        seen.append(versions(await index.store.search(3)).get("notes/a.md"))
    await syncing
    assert set(seen) == {before, None}


@pytest.mark.parametrize("fuse", range(16))
async def test_after_a_crash_one_whole_version_is_seen_before_any_sync(
    index: Index, folder: Path, tmp_path: Path, fuse: int
) -> None:
    for name in ("a.md", "b.md", "gone.md"):
        write(folder, name, 1)
    await index.sync(folder)
    before = await whole(folder, tmp_path / "before")
    for name in ("a.md", "b.md", "new.md"):
        write(folder, name, 2)
    (folder / "gone.md").unlink()
    after = await whole(folder, tmp_path / "after")
    index.store.fuse = fuse
    with pytest.raises(Killed):
        await index.sync(folder)
    await index.restart()
    seen = versions(await index.store.search())
    for source in (*before, "notes/new.md"):
        assert seen.get(source) in (before.get(source), after.get(source))
    await index.sync(folder)
    assert versions(await index.store.search()) == after
    assert index.store.points == await from_scratch(tmp_path / "scratch", folder)
    assert index.store.visibility.hidden == set()


async def test_what_was_intended_and_never_stored_is_not_kept_hidden(
    index: Index, folder: Path
) -> None:
    write(folder, "a.md", 1)
    index.store.fuse = 0
    with pytest.raises(Killed):
        await index.sync(folder)
    await index.restart()
    assert index.store.visibility.hidden != set()
    write(folder, "a.md", 2)
    await index.sync(folder)
    assert index.store.visibility.hidden == set()


async def test_a_backend_that_fails_in_the_middle_leaves_the_old_version_in_sight(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    write(folder, "a.md", 1)
    await index.sync(folder)
    before = await whole(folder, tmp_path)
    write(folder, "a.md", 2)
    index.store.failures = [VectorStoreUnavailable("asleep")] * 3
    with pytest.raises(VectorStoreUnavailable):
        await index.sync(folder)
    assert versions(await index.store.search()) == before


async def test_what_could_not_be_deleted_is_out_of_sight_and_deleted_by_the_next_sync(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    write(folder, "a.md", 1)
    write(folder, "b.md", 1)
    await index.sync(folder)
    (folder / "a.md").unlink()
    index.store.failures = [VectorStoreUnavailable("asleep")] * 3
    with pytest.raises(VectorStoreUnavailable):
        await index.sync(folder)
    assert versions(await index.store.search()).keys() == {"notes/b.md"}
    assert len(index.store.points) > len(await index.store.search())
    await index.sync(folder)
    assert index.store.points == await from_scratch(tmp_path / "scratch", folder)


async def test_a_file_that_comes_back_is_not_swept_away_with_what_left(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    write(folder, "a.md", 1)
    await index.sync(folder)
    text = (folder / "a.md").read_text()
    (folder / "a.md").unlink()
    (folder / "b.md").write_text("Something else.\n")
    index.store.failures = [VectorStoreUnavailable("asleep")] * 3
    with pytest.raises(VectorStoreUnavailable):
        await index.sync(folder)
    (folder / "a.md").write_text(text)
    await index.sync(folder)
    assert index.store.points == await from_scratch(tmp_path / "scratch", folder)
    assert len(await index.store.search()) == len(index.store.points)


async def test_asking_for_what_is_half_done_makes_no_manifest(tmp_path: Path) -> None:
    manifest, visibility = Manifest(tmp_path), Visibility()
    await hide_unsettled(manifest, visibility)
    assert visibility.hidden == set()
    assert not manifest.exists()
    await manifest.aclose()
