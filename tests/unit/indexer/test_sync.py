import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from errors import (
    EmbeddingsUnavailable,
    PathError,
    StoreLocked,
    TextTooLong,
    VectorStoreUnavailable,
)
from indexer.progress import Progress
from tests.unit.indexer.index_fakes import Index, Killed, from_scratch, look_away, new_index


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    write(folder / "a.md", "# Alpha\n\nThe first letter.\n\n## Usage\n\nIt begins words.\n")
    write(folder / "b.txt", "The second letter.\n")
    write(folder / "deep" / "c.txt", "The third letter.\n")
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(text)


def move_away(folder: Path, *, leave_empty: bool = False) -> None:
    folder.rename(folder.with_name("elsewhere"))
    if leave_empty:
        folder.mkdir()


def age(folder: Path) -> None:
    """Makes every file old enough for its time to be trusted."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))


def opened_files(below: Path) -> list[str]:
    """A list that grows with every file opened below a folder, from now on."""
    opened: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(below)):
            opened.append(str(arguments[0]))

    sys.addaudithook(hook)
    return opened


async def test_a_folder_is_indexed_with_what_is_in_it(index: Index, folder: Path) -> None:
    report = await index.sync(folder)
    assert report.added == 3
    assert index.sources() == {"notes/a.md", "notes/b.txt", "notes/deep/c.txt"}
    assert "The second letter." in index.texts("notes/b.txt")[0]


async def test_a_second_run_opens_no_file_and_writes_only_when_it_was(
    index: Index, folder: Path
) -> None:
    age(folder)
    await index.sync(folder)
    index.store.upserted.clear()
    embedded = len(index.embeddings.embedded)
    manifest = await dump(index)
    opened = opened_files(folder)
    report = await index.sync(folder)
    assert report.unchanged == 3
    assert (report.added, report.changed, report.moved, report.deleted) == (0, 0, 0, 0)
    assert opened == []
    assert index.store.upserted == []
    assert len(index.embeddings.embedded) == embedded
    after = await dump(index)
    assert manifest.keys() - after.keys() == {line for line in manifest if "'checked " in line}
    assert len(manifest) == len(after)


async def dump(index: Index) -> dict[str, None]:
    """Every row of the manifest."""
    database = index.manifest._database
    return await database.read(lambda db: dict.fromkeys(db.iterdump()))


async def test_a_write_within_the_clocks_tick_is_noticed(index: Index, folder: Path) -> None:
    path = folder / "b.txt"
    await index.sync(folder)
    before = path.stat()
    with path.open("r+") as file:
        file.write("THE")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = await index.sync(folder)
    assert report.changed == 1
    assert index.texts("notes/b.txt")[0].startswith("THE second")


async def test_an_edit_embeds_only_the_chunks_it_changed(index: Index, folder: Path) -> None:
    sections = [f"## Part {n}\n\nThis is about number {n}.\n" for n in range(20)]
    write(folder / "long.md", "# Long\n\n" + "\n".join(sections))
    await index.sync(folder)
    index.embeddings.embedded.clear()
    sections[7] = "## Part 7\n\nThis is about something else now.\n"
    write(folder / "long.md", "# Long\n\n" + "\n".join(sections))
    report = await index.sync(folder)
    assert report.changed == 1
    assert report.chunks_embedded == len(index.embeddings.embedded) <= 2
    assert index.store.points == await from_scratch(index.data_dir / "new", folder)


async def test_a_moved_file_embeds_nothing_and_counts_as_moved(index: Index, folder: Path) -> None:
    await index.sync(folder)
    index.embeddings.embedded.clear()
    (folder / "b.txt").rename(folder / "deep" / "second_letter.txt")
    report = await index.sync(folder)
    assert (report.moved, report.added, report.deleted) == (1, 0, 0)
    assert index.embeddings.embedded == []
    assert index.sources() == {"notes/a.md", "notes/deep/c.txt", "notes/deep/second_letter.txt"}


async def test_a_file_moved_over_another_embeds_nothing(index: Index, folder: Path) -> None:
    await index.sync(folder)
    index.embeddings.embedded.clear()
    (folder / "b.txt").replace(folder / "a.md")
    report = await index.sync(folder)
    assert (report.changed, report.deleted) == (1, 1)
    assert index.embeddings.embedded == []
    assert index.texts("notes/a.md") == ["The second letter."]
    assert index.sources() == {"notes/a.md", "notes/deep/c.txt"}


async def test_another_case_of_a_name_is_a_move(index: Index, folder: Path) -> None:
    await index.sync(folder)
    index.embeddings.embedded.clear()
    (folder / "b.txt").rename(folder / "B.txt")
    report = await index.sync(folder)
    assert (report.moved, report.added, report.deleted) == (1, 0, 0)
    assert index.embeddings.embedded == []
    assert index.sources() == {"notes/a.md", "notes/B.txt", "notes/deep/c.txt"}


async def test_a_renamed_folder_embeds_nothing(index: Index, folder: Path) -> None:
    await index.sync(folder)
    index.embeddings.embedded.clear()
    (folder / "deep").rename(folder / "deeper")
    report = await index.sync(folder)
    assert report.moved == 1
    assert index.embeddings.embedded == []
    assert index.store.points == await from_scratch(index.data_dir / "new", folder)


async def test_a_copy_is_stored_for_itself_and_embeds_nothing(index: Index, folder: Path) -> None:
    await index.sync(folder)
    index.embeddings.embedded.clear()
    write(folder / "copy.txt", (folder / "b.txt").read_text())
    report = await index.sync(folder)
    assert report.added == 1
    assert index.embeddings.embedded == []
    assert index.texts("notes/copy.txt") == index.texts("notes/b.txt")


async def test_equal_texts_in_one_sync_are_embedded_once(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for number in range(700):  # more than fit in one window
        write(folder / f"{number}.txt", "The same licence everywhere.\n")
    report = await index.sync(folder)
    assert report.added == 700
    assert len(index.embeddings.embedded) == 1
    assert len(index.store.points) == 700


async def test_a_deleted_file_is_removed(index: Index, folder: Path) -> None:
    await index.sync(folder)
    (folder / "b.txt").unlink()
    report = await index.sync(folder)
    assert report.deleted == 1
    assert index.sources() == {"notes/a.md", "notes/deep/c.txt"}


async def test_only_files_below_the_given_path_are_removed(index: Index, folder: Path) -> None:
    await index.sync(folder)
    (folder / "b.txt").unlink()
    await index.sync(folder / "deep")
    assert "notes/b.txt" in index.sources()


async def test_a_root_that_has_vanished_is_refused(index: Index, folder: Path) -> None:
    await index.sync(folder)
    move_away(folder)
    with pytest.raises(PathError, match="does not exist"):
        await index.sync(folder)
    assert len(index.sources()) == 3


async def test_an_empty_mount_point_is_refused(index: Index, folder: Path) -> None:
    await index.sync(folder)
    move_away(folder, leave_empty=True)
    with pytest.raises(PathError, match="not mounted"):
        await index.sync(folder)
    assert len(index.sources()) == 3


async def test_a_folder_that_was_emptied_empties_the_index(index: Index, folder: Path) -> None:
    await index.sync(folder)
    for path in [folder / "a.md", folder / "b.txt", folder / "deep" / "c.txt"]:
        path.unlink()
    report = await index.sync(folder)
    assert report.deleted == 3
    assert index.store.points == {}


async def test_a_path_that_does_not_exist_changes_nothing(index: Index, folder: Path) -> None:
    with pytest.raises(PathError, match="no-such-folder"):
        await index.sync(folder, folder / "no-such-folder")
    assert index.store.points == {}


async def test_a_folder_inside_a_root_belongs_to_that_root(index: Index, folder: Path) -> None:
    await index.sync(folder)
    report = await index.sync(folder / "deep")
    assert report.unchanged == 1
    assert index.sources() == {"notes/a.md", "notes/b.txt", "notes/deep/c.txt"}


async def test_a_folder_around_a_root_takes_it_over(index: Index, folder: Path) -> None:
    await index.sync(folder / "deep")
    assert index.sources() == {"deep/c.txt"}
    index.embeddings.embedded.clear()
    report = await index.sync(folder)
    assert (report.moved, report.added, report.deleted) == (1, 2, 0)
    assert index.sources() == {"notes/a.md", "notes/b.txt", "notes/deep/c.txt"}
    assert len(index.embeddings.embedded) == report.chunks_embedded
    assert [root.path for root in await index.manifest.roots()] == [str(folder)]


async def test_a_single_file_can_be_indexed(index: Index, folder: Path) -> None:
    await index.sync(folder / "b.txt")
    assert index.sources() == {"notes/b.txt"}
    await index.sync(folder)
    assert len(index.sources()) == 3


async def test_a_file_that_cannot_be_read_stops_no_other_and_is_listed(
    index: Index, folder: Path
) -> None:
    await index.sync(folder)
    (folder / "b.txt").write_bytes(bytes(range(256)) * 8)
    age(folder)
    write(folder / "d.txt", "The fourth letter.\n")
    for _ in range(2):  # also when nothing has changed
        report = await index.sync(folder)
        assert [problem.source for problem in report.failed] == ["notes/b.txt"]
        assert report.failed[0].reason
        assert index.sources() == {"notes/a.md", "notes/d.txt", "notes/deep/c.txt"}
    write(folder / "b.txt", "Readable again.\n")
    report = await index.sync(folder)
    assert report.failed == []
    assert index.texts("notes/b.txt") == ["Readable again."]


async def test_a_wiped_store_is_noticed(index: Index, folder: Path) -> None:
    age(folder)
    await index.sync(folder)
    before = dict(index.store.points)
    index.store.points.clear()
    await index.sync(folder)
    assert index.store.points == before


async def test_points_lost_one_by_one_are_noticed(index: Index, folder: Path) -> None:
    age(folder)
    await index.sync(folder)
    before = dict(index.store.points)
    index.embeddings.embedded.clear()
    index.store.points.popitem()
    await index.sync(folder)
    assert index.store.points == before
    assert len(index.embeddings.embedded) == 1


@pytest.mark.parametrize("damage", [b"not a database" * 100, None])
async def test_a_lost_manifest_is_rebuilt_without_embedding(
    index: Index, folder: Path, damage: bytes | None
) -> None:
    await index.sync(folder)
    before = dict(index.store.points)
    await index.manifest.aclose()
    path = index.data_dir / "manifests" / "documents.sqlite3"
    path.unlink() if damage is None else path.write_bytes(damage)
    await index.restart()
    (folder / "b.txt").unlink()
    index.embeddings.embedded.clear()
    await index.sync(folder)
    kept = {k: p for k, p in before.items() if p.metadata["source"] != "notes/b.txt"}
    assert index.store.points == kept
    assert index.embeddings.embedded == []


@pytest.mark.parametrize("fuse", range(12))
async def test_a_crash_around_any_write_is_repaired(
    index: Index, folder: Path, tmp_path: Path, fuse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.sync.mend", look_away)  # what was intended has to suffice
    await index.sync(folder)
    write(folder / "a.md", "# Alpha\n\nAnother text.\n")
    (folder / "b.txt").rename(folder / "moved.txt")
    (folder / "deep" / "c.txt").unlink()
    write(folder / "d.txt", "The fourth letter.\n")
    index.store.fuse = fuse
    try:
        await index.sync(folder)
    except Killed:
        pass
    else:
        assert fuse >= 6
    await index.restart()
    write(folder / "a.md", "# Alpha\n\nYet another text, so that the crash's own is stale.\n")
    (folder / "d.txt").unlink()
    await index.sync(folder)
    assert index.store.points == await from_scratch(tmp_path / "new", folder)


async def test_a_backend_that_comes_back_is_waited_for(index: Index, folder: Path) -> None:
    index.embeddings.failures = [EmbeddingsUnavailable("asleep")] * 2
    index.store.failures = [VectorStoreUnavailable("asleep")]
    assert (await index.sync(folder)).added == 3


async def test_a_backend_that_stays_away_stops_the_sync_and_keeps_what_was_done(
    index: Index, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(900):
        write(folder / f"{number:03}.txt", f"This is text number {number}.\n")
    answers = index.embeddings.aembed_documents

    async def fail_later(texts: Sequence[str]) -> list[list[float]]:
        if len(index.embeddings.embedded) > 300:
            raise EmbeddingsUnavailable("The embedding server does not answer.")
        return await answers(texts)

    index.embeddings.aembed_documents = fail_later  # type: ignore[method-assign]
    with pytest.raises(EmbeddingsUnavailable, match="does not answer"):
        await index.sync(folder)
    kept = len(index.store.points)
    assert 0 < kept < 900
    index.embeddings.aembed_documents = answers  # type: ignore[method-assign]
    report = await index.sync(folder)
    assert report.chunks_embedded <= 900 - kept
    assert len(index.store.points) == 900


async def test_cancelling_leaves_an_index_that_the_next_sync_completes(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    index.embeddings.gate = asyncio.Event()
    task = asyncio.create_task(index.sync(folder))
    await index.embeddings.busy.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    index.embeddings.gate = None
    await index.sync(folder)
    assert index.store.points == await from_scratch(tmp_path / "new", folder)


async def test_two_syncs_of_one_manifest_wait_for_each_other(index: Index, folder: Path) -> None:
    first, second = await asyncio.gather(index.sync(folder), index.sync(folder))
    assert sorted([first.added, second.added]) == [0, 3]


async def test_another_process_is_told_to_wait(index: Index, folder: Path) -> None:
    other = new_index(index.data_dir)
    async with index.manifest.exclusive():
        with pytest.raises(StoreLocked, match="Another process"):
            await other.sync(folder)
    await other.manifest.aclose()


async def test_a_text_that_the_model_finds_too_long_is_embedded_in_halves(
    index: Index, folder: Path
) -> None:
    index.embeddings.failures = [TextTooLong("too long", position=1)]
    report = await index.sync(folder)
    assert report.added == 3
    assert len(index.embeddings.embedded) == len(index.store.points) + 1


async def test_too_large_files_are_reported_as_skipped(index: Index, folder: Path) -> None:
    write(folder / "big.txt", "word " * 1000)
    report = await index.sync(folder, max_file_bytes=1000)
    assert [problem.source for problem in report.skipped] == ["notes/big.txt"]


async def test_progress_ends_with_everything_done(index: Index, folder: Path) -> None:
    seen: list[Progress] = []
    await index.sync(folder, on_progress=seen.append)
    assert seen[-1].files_done == seen[-1].files_total == 3
    assert seen[-1].chunks_done == len(index.store.points)


async def test_the_store_is_optimized_during_a_large_sync_and_counted_across_syncs(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.pipeline._FIRST_WINDOW", 1)
    monkeypatch.setattr("indexer.pipeline._WINDOW", 1)
    monkeypatch.setattr("indexer.sync.OPTIMIZE_WITHIN", 2)
    await index.sync(folder / "b.txt")
    assert index.store.optimized == len(index.store.points) // 2
    await index.sync(folder)
    assert len(index.store.points) >= 3
    assert index.store.optimized == len(index.store.points) // 2


async def test_the_store_is_optimized_after_a_large_change_only(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.sync.OPTIMIZE_AFTER", 3)
    await index.sync(folder / "b.txt")
    assert index.store.optimized == 0
    await index.sync(folder)
    assert index.store.optimized == 1
    await index.sync(folder)
    assert index.store.optimized == 1


def settle(folder: Path) -> None:
    """As old as files mostly are: too old to have been written while they were looked at."""
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))


async def test_an_unchanged_file_leaves_the_index_once_it_is_ignored(
    index: Index, folder: Path
) -> None:
    settle(folder)
    await index.sync(folder)
    write(folder / ".gitignore", "b.txt\n")
    report = await index.sync(folder)
    assert (report.unchanged, report.deleted) == (2, 1)
    assert "notes/b.txt" not in {point.metadata["source"] for point in index.store.points.values()}


async def test_settled_files_are_unchanged_beside_new_changed_and_deleted_ones(
    index: Index, folder: Path
) -> None:
    settle(folder)
    await index.sync(folder)
    write(folder / "a.md", "# Alpha\n\nNow the last letter.\n")
    (folder / "b.txt").unlink()
    write(folder / "d.txt", "The fourth letter.\n")
    report = await index.sync(folder)
    assert (report.added, report.changed, report.deleted, report.unchanged) == (1, 1, 1, 1)
