"""Real files, real events and real polling, over a store in a dict and embeddings by hash."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from errors import EmbeddingsUnavailable, StoreLocked, TandemError, VectorStoreUnavailable
from graph.freshness import Freshness
from indexer.following import Follower
from indexer.news import Event
from indexer.patience import Backoff
from indexer.progress import Progress, SyncReport
from indexer.watch import Pace
from tests.unit.indexer.index_fakes import Index, from_scratch, new_index

WITHIN_S = 60.0
"""A bound for a machine under load; on an idle one each wait takes a fraction of a second."""
EVENTS = Pace("events", reconcile_s=3600)
POLLING = Pace("polling", poll_s=0.1, reconcile_s=3600)
both_ways = pytest.mark.parametrize("pace", [EVENTS, POLLING], ids=["events", "polling"])


@dataclass
class Followed:
    """A folder that is followed, and what was told of it."""

    folder: Path
    index: Index
    follower: Follower
    events: "asyncio.Queue[Event]"
    synced: list[Sequence[Path]] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns when something has happened that makes the condition true."""
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self.told.append(await self.events.get())

    async def until_told(self, name: str) -> Event:
        """The next event of a name."""
        async with asyncio.timeout(WITHIN_S):
            while (event := await self.events.get()).name != name:
                self.told.append(event)
        return event

    async def holds(self, *names: str) -> None:
        """Returns when the index holds exactly these files, and what they say now."""
        sources = {f"{self.folder.name}/{name}" for name in names}
        await self.until(lambda: self.index.sources() == sources)
        await self.until(lambda: all(self._as_on_disk(name) for name in names))

    async def current(self) -> Freshness:
        """Returns when nothing is due any more."""
        async with asyncio.timeout(WITHIN_S):
            while (freshness := await self.follower.freshness())["state"] != "current":  # noqa: ASYNC110
                # no event tells of the end of a sync without changes
                await asyncio.sleep(0.01)
        return freshness

    def _as_on_disk(self, name: str) -> bool:
        said = self.index.texts(f"{self.folder.name}/{name}")
        return said == [(self.folder / name).read_text().strip()]


@contextlib.asynccontextmanager
async def followed(folder: Path, index: Index, pace: Pace) -> AsyncIterator[Followed]:
    """Follows a folder for as long as the block runs."""
    synced: list[Sequence[Path]] = []

    async def sync(
        paths: Sequence[Path], *, touched: bool, on_progress: Callable[[Progress], None]
    ) -> SyncReport:
        synced.append(paths)
        return await index.sync(
            *paths, touched=touched, on_progress=on_progress, retry_delays_s=Backoff(0.01, 0.05)
        )

    follower = Follower(sync, index.manifest, pace, apart_from=index.data_dir)
    follower._backoff = Backoff(0.01, 0.05)
    run = asyncio.create_task(follower.run())
    try:
        with follower.news.reading() as events:
            async with follower.following([folder]):
                yield Followed(folder, index, follower, events, synced)
    finally:
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(run, WITHIN_S)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.watch.LOOK_S", 0.2)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    write(folder / "a.txt", "The first letter.")
    write(folder / "b.txt", "The second letter.")
    write(folder / "deep" / "c.txt", "The third letter.")
    return folder


FILES = ("a.txt", "b.txt", "deep/c.txt")


def write(path: Path, text: str) -> None:
    path.write_text(f"{text}\n")


def save_atomically(path: Path, text: str) -> None:
    """As most editors do it."""
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary, text)
    temporary.replace(path)


def move(path: Path, to: Path) -> None:
    path.rename(to)


@both_ways
async def test_created_edited_renamed_and_deleted_files_reach_the_index(
    index: Index, folder: Path, pace: Pace
) -> None:
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        write(folder / "d.txt", "The fourth letter.")
        await it.holds(*FILES, "d.txt")
        write(folder / "a.txt", "The first letter, again.")
        await it.holds(*FILES, "d.txt")
        embedded = len(index.embeddings.embedded)
        (folder / "d.txt").rename(folder / "deep" / "e.txt")
        await it.holds(*FILES, "deep/e.txt")
        assert len(index.embeddings.embedded) == embedded
        (folder / "b.txt").unlink()
        await it.holds("a.txt", "deep/c.txt", "deep/e.txt")
    assert index.store.points == await from_scratch(index.data_dir / "new", folder)


@both_ways
async def test_an_atomic_save_replaces_the_text(index: Index, folder: Path, pace: Pace) -> None:
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        save_atomically(folder / "a.txt", "Saved at once.")
        await it.holds(*FILES)
        assert index.texts("notes/a.txt") == ["Saved at once."]


@both_ways
async def test_a_folder_renamed_moved_out_and_moved_in_takes_its_files_along(
    index: Index, folder: Path, pace: Pace
) -> None:
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        embedded = len(index.embeddings.embedded)
        (folder / "deep").rename(folder / "deeper")
        await it.holds("a.txt", "b.txt", "deeper/c.txt")
        assert len(index.embeddings.embedded) == embedded
        (folder / "deeper").rename(folder.parent / "outside")
        await it.holds("a.txt", "b.txt")
        (folder.parent / "outside").rename(folder / "back")
        await it.holds("a.txt", "b.txt", "back/c.txt")
        write(folder / "back" / "c.txt", "Edited where it was moved to.")
        await it.holds("a.txt", "b.txt", "back/c.txt")


@both_ways
async def test_a_file_written_right_after_its_folders_is_found(
    index: Index, folder: Path, pace: Pace
) -> None:
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        names = [f"new{number}/x/y/z/file.txt" for number in range(20)]
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True)
            write(folder / name, f"Number {number}.")
        await it.holds(*FILES, *names)


@both_ways
async def test_what_editors_and_tools_leave_around_is_never_indexed(
    index: Index, folder: Path, pace: Pace
) -> None:
    (folder / ".git").mkdir()
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        write(folder / ".a.txt.swp", "swap")
        write(folder / ".git" / "HEAD", "ref: refs/heads/main")
        (folder / "node_modules").mkdir()
        write(folder / "node_modules" / "readme.txt", "A package.")
        (folder / "link.txt").symlink_to(folder / "a.txt")
        write(folder / "picture.png", "no text")
        write(folder / "last.txt", "Written last.")
        await it.holds(*FILES, "last.txt")


@both_ways
async def test_editing_an_ignore_file_takes_files_out_and_brings_them_back(
    index: Index, folder: Path, pace: Pace
) -> None:
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        write(folder / ".gitignore", "b.txt")
        await it.holds("a.txt", "deep/c.txt")
        write(folder / "deep" / ".tandemignore", "*.txt")
        await it.holds("a.txt")
        write(folder / "b.txt", "Edited while ignored.")
        write(folder / "a.txt", "Edited after it.")
        await it.holds("a.txt")
        (folder / ".gitignore").unlink()
        await it.holds("a.txt", "b.txt")


async def test_a_name_that_is_not_utf_8_is_found(index: Index, folder: Path) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        with open(os.fsencode(folder) + b"/caf\xe9.txt", "w") as file:  # noqa: ASYNC230, PTH123
            file.write("A name in Latin-1.\n")
        await it.until(lambda: "notes/caf\\xe9.txt" in index.sources())
        write(folder / "a.txt", "Still followed.")
        await it.until(lambda: index.texts("notes/a.txt") == ["Still followed."])


async def test_one_event_for_one_file_syncs_that_file_alone(index: Index, folder: Path) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        it.synced.clear()
        write(folder / "a.txt", "Edited.")
        await it.holds(*FILES)
        assert {path for paths in it.synced for path in paths} == {folder / "a.txt"}


@both_ways
async def test_a_root_that_vanishes_loses_nothing_and_is_taken_up_when_it_returns(
    index: Index, folder: Path, pace: Pace
) -> None:
    away = folder.with_name("unmounted")
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        await it.current()
        move(folder, away)
        await it.until_told("gone")
        freshness = await it.follower.freshness()
        assert freshness["state"] == "paused"
        assert freshness["reason"].startswith("notes ")
        assert str(folder.parent) not in freshness["reason"]
        assert len(index.sources()) == 3
        write(away / "a.txt", "Edited while it was away.")
        embedded = len(index.embeddings.embedded)
        move(away, folder)
        await it.holds(*FILES)
        await it.current()
        assert len(index.embeddings.embedded) == embedded + 1
        write(folder / "b.txt", "Edited after its return.")
        await it.holds(*FILES)


@both_ways
async def test_an_empty_mount_point_in_place_of_the_root_empties_nothing(
    index: Index, folder: Path, pace: Pace
) -> None:
    away = folder.with_name("unmounted")
    async with followed(folder, index, pace) as it:
        await it.holds(*FILES)
        move(folder, away)
        folder.mkdir()  # noqa: ASYNC240 - as quick as it gets
        while "not mounted" not in (await it.until_told("gone")).data["reason"]:
            pass  # between the two it may be seen to be missing
        assert "not mounted" in (await it.follower.freshness())["reason"]
        assert len(index.sources()) == 3
        folder.rmdir()  # noqa: ASYNC240
        move(away, folder)
        assert (await it.current())["reason"] == ""
        assert len(index.sources()) == 3


async def test_a_root_that_is_not_there_yet_is_waited_for(index: Index, folder: Path) -> None:
    late = folder.with_name("late")
    async with followed(late, index, EVENTS) as it:
        assert "late" in (await it.until_told("gone")).data["reason"]
        shutil.copytree(folder, late)
        await it.holds(*FILES)
        assert (await it.current())["reason"] == ""


async def test_a_single_file_can_be_followed(index: Index, folder: Path) -> None:
    async with followed(folder / "b.txt", index, POLLING) as it:
        await it.until(lambda: index.sources() == {"notes/b.txt"})
        save_atomically(folder / "b.txt", "Saved again.")
        await it.until(lambda: index.texts("notes/b.txt") == ["Saved again."])
        assert index.sources() == {"notes/b.txt"}


async def test_the_data_folder_inside_a_followed_one_is_left_alone(
    folder: Path,
) -> None:
    index = new_index(folder / "data")
    async with followed(folder, index, EVENTS) as it:
        await it.until(lambda: "notes/a.txt" in index.sources())
        await it.current()
        it.synced.clear()
        for number in range(5):
            write(folder / "a.txt", f"Edit {number}.")
            await it.until(lambda n=number: index.texts("notes/a.txt") == [f"Edit {n}."])  # type: ignore[misc]  # mypy cannot type a default of a lambda
        await it.current()
        assert all(paths == [folder / "a.txt"] for paths in it.synced)
    await index.manifest.aclose()


async def test_a_folder_followed_twice_is_followed_until_the_last_one_ends(
    index: Index, folder: Path
) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        async with it.follower.following([folder / "deep"]):
            assert [state.root for state in it.follower.folders] == [folder]
        write(folder / "a.txt", "Still followed.")
        await it.holds(*FILES)


# faults


async def test_a_poison_file_stops_no_other_and_is_tried_again_when_it_changes(
    index: Index, folder: Path
) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        (folder / "b.txt").write_bytes(bytes(range(256)) * 8)
        write(folder / "d.txt", "The fourth letter.")
        await it.holds("a.txt", "d.txt", "deep/c.txt")
        failed = [r for r in await index.manifest.documents() if r.state == "failed"]
        assert [record.source for record in failed] == ["notes/b.txt"]
        assert failed[0].reason
        await it.current()
        write(folder / "b.txt", "Readable again.")
        await it.holds("a.txt", "b.txt", "d.txt", "deep/c.txt")
        assert all(record.state == "indexed" for record in await index.manifest.documents())


@pytest.mark.parametrize("error", [EmbeddingsUnavailable("The model is asleep.")])
async def test_a_dead_embedding_backend_pauses_and_nothing_is_embedded_twice(
    index: Index, folder: Path, error: TandemError
) -> None:
    answer = index.embeddings.aembed_documents
    down = False

    async def perhaps(texts: Sequence[str]) -> list[list[float]]:
        if down:
            raise error
        return await answer(texts)

    index.embeddings.aembed_documents = perhaps  # type: ignore[method-assign]
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        await it.current()
        down = True
        for number in range(30):
            write(folder / f"new{number}.txt", f"This is number {number}.")
        assert (await it.until_told("paused")).data["reason"] == str(error)
        freshness = await it.follower.freshness()
        assert (freshness["state"], freshness["reason"]) == ("paused", str(error))
        assert freshness["pending"] > 0
        assert (freshness["behind_s"] or 0) > 0
        down = False
        await it.until_told("resumed")
        await it.holds(*FILES, *(f"new{number}.txt" for number in range(30)))
        await it.current()
        assert len(index.embeddings.embedded) == len(set(index.embeddings.embedded)) == 33


async def test_a_dead_vector_store_pauses_and_nothing_is_embedded_twice(
    index: Index, folder: Path
) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        index.store.failures = [VectorStoreUnavailable("Qdrant is away.")] * 8
        write(folder / "a.txt", "Edited meanwhile.")
        await it.until_told("paused")
        await it.until_told("resumed")
        await it.holds(*FILES)
        assert index.store.failures == []
        assert index.embeddings.embedded.count("Edited meanwhile.") == 1


async def test_an_error_that_may_pass_is_told_and_tried_again(index: Index, folder: Path) -> None:
    other = new_index(index.data_dir)
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        await it.current()
        async with other.manifest.exclusive():  # as another process would hold it
            write(folder / "a.txt", "Edited meanwhile.")
            paused = await it.until_told("paused")
            assert "Another process" in paused.data["reason"]
            assert (await it.follower.freshness())["state"] == "paused"
        await it.holds(*FILES)
        await it.current()
    await other.manifest.aclose()
    assert StoreLocked.exit_code == 3


@pytest.mark.parametrize("moment", ["embedding", "pausing", "waiting", "beginning"])
async def test_it_can_be_ended_at_any_moment_and_the_next_sync_completes(
    index: Index, folder: Path, tmp_path: Path, moment: str
) -> None:
    loop = asyncio.get_running_loop()
    if moment == "embedding":
        index.embeddings.gate = asyncio.Event()
    if moment == "pausing":
        index.embeddings.failures = [EmbeddingsUnavailable("asleep")] * 10_000
    async with followed(folder, index, EVENTS) as it:
        if moment == "embedding":
            await asyncio.wait_for(index.embeddings.busy.wait(), WITHIN_S)
        if moment == "pausing":
            await it.until_told("paused")
        if moment == "waiting":
            await it.current()
        began = loop.time()
    assert loop.time() - began < 10
    index.embeddings.gate, index.embeddings.failures = None, []
    await index.sync(folder)
    assert index.store.points == await from_scratch(tmp_path / "new", folder)


# freshness


async def test_freshness_counts_what_is_due_and_for_how_long(index: Index, folder: Path) -> None:
    async with followed(folder, index, EVENTS) as it:
        await it.holds(*FILES)
        freshness = await it.current()
        assert (freshness["pending"], freshness["behind_s"]) == (0, 0.0)
        assert freshness["documents"] == 3
        assert freshness["checked_at"] is not None
        index.embeddings.gate = asyncio.Event()
        index.embeddings.busy.clear()
        write(folder / "a.txt", "Edited.")
        await asyncio.wait_for(index.embeddings.busy.wait(), WITHIN_S)
        behind = await it.follower.freshness()
        assert (behind["state"], behind["pending"]) == ("catching_up", 1)
        assert (behind["behind_s"] or 0) > 0
        index.embeddings.gate.set()
        await it.current()


async def test_before_the_first_comparison_is_done_the_index_is_not_current(
    index: Index, folder: Path
) -> None:
    index.embeddings.gate = asyncio.Event()
    async with followed(folder, index, EVENTS) as it:
        await asyncio.wait_for(index.embeddings.busy.wait(), WITHIN_S)
        freshness = await it.follower.freshness()
        assert (freshness["state"], freshness["checked_at"]) == ("catching_up", None)
        index.embeddings.gate.set()
        assert (await it.current())["checked_at"] is not None


async def test_a_root_that_is_indexed_and_not_watched_is_named(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "papers"
    other.mkdir()
    write(other / "p.txt", "A paper.")
    await index.sync(other)
    async with followed(folder, index, EVENTS) as it:
        await it.until(lambda: "notes/a.txt" in index.sources())
        assert "papers" in (await it.current())["reason"]


async def test_a_change_without_an_event_is_found_by_the_next_comparison(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.file_events._place", lambda root, name: None)  # hears nothing
    async with followed(folder, index, Pace("events", reconcile_s=0.3)) as it:
        await it.holds(*FILES)
        write(folder / "a.txt", "Edited unheard.")
        await it.holds(*FILES)
