"""When and where a folder is looked at; what the operating system says is scripted here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from indexer import file_events
from indexer.file_events import CannotListen, Heard, Hint, Sign, listening
from indexer.watch import Gone, Look, Notice, Pace, Watching, watch

WITHIN_S = 30.0
QUIET = Pace("events", reconcile_s=3600)


class Watch:
    """The notices of a watch, one by one."""

    def __init__(self, notices: AsyncIterator[Notice], stop: asyncio.Event) -> None:
        self._notices = notices
        self.stop = stop

    async def next(self) -> Notice:
        async with asyncio.timeout(WITHIN_S):
            return await anext(self._notices)

    async def ended(self) -> bool:
        async with asyncio.timeout(WITHIN_S):
            return [notice async for notice in self._notices] == []


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Callable[[Pace], Watch]]:
    """Begins to watch the folder of the test."""
    async with contextlib.AsyncExitStack() as stack:

        def begin(pace: Pace) -> Watch:
            stop = asyncio.Event()
            notices = watch(tmp_path, pace=pace, stop=stop)
            stack.push_async_callback(notices.aclose)
            return Watch(notices, stop)

        yield begin


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[Heard]":
    """What the operating system says, to be put in by the test."""
    said: asyncio.Queue[Heard] = asyncio.Queue()

    @contextlib.contextmanager
    def scripted(root: Path, stop: asyncio.Event) -> Iterator["asyncio.Queue[Heard]"]:
        yield said

    monkeypatch.setattr("indexer.watch.listening", scripted)
    monkeypatch.setattr("indexer.watch.LOOK_S", 0.1)
    return said


async def test_a_new_folder_is_looked_at_twice(
    tmp_path: Path, watched: Callable[[Pace], Watch], heard: "asyncio.Queue[Heard]"
) -> None:
    notices = watched(QUIET)
    heard.put_nowait(Sign.BEGUN)
    assert await notices.next() == Watching("events")
    assert await notices.next() == Look("begun")
    new = frozenset([tmp_path / "new"])
    heard.put_nowait(Hint(new | {tmp_path / "a.txt"}, new))
    assert await notices.next() == Look("touched", new | {tmp_path / "a.txt"})
    assert await notices.next() == Look("touched", new)  # without another event


async def test_an_event_on_the_folder_itself_has_all_of_it_looked_at(
    tmp_path: Path, watched: Callable[[Pace], Watch], heard: "asyncio.Queue[Heard]"
) -> None:
    notices = watched(QUIET)
    heard.put_nowait(Hint(frozenset([tmp_path])))
    assert await notices.next() == Watching("events")
    assert await notices.next() == Look("begun")
    assert await notices.next() == Look("missed")


async def test_when_nothing_more_will_be_heard_it_begins_anew(
    watched: Callable[[Pace], Watch], heard: "asyncio.Queue[Heard]"
) -> None:
    notices = watched(QUIET)
    for _ in range(2):
        heard.put_nowait(Sign.BEGUN)
        assert await notices.next() == Watching("events")
        assert await notices.next() == Look("begun")
        heard.put_nowait(Sign.ENDED)


async def test_what_cannot_be_listened_to_is_polled_with_a_warning(
    watched: Callable[[Pace], Watch], heard: "asyncio.Queue[Heard]"
) -> None:
    notices = watched(Pace("auto", poll_s=0.05, reconcile_s=3600))
    heard.put_nowait(CannotListen("raise the limit"))
    begun = await notices.next()
    assert isinstance(begun, Watching)
    assert begun.how == "polling"
    assert begun.warning.endswith("is polled: raise the limit.")
    assert await notices.next() == Look("begun")
    assert await notices.next() == Look("poll")


async def test_a_file_system_that_tells_of_nothing_is_polled_unless_events_are_asked_for(
    watched: Callable[[Pace], Watch],
    heard: "asyncio.Queue[Heard]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("indexer.watch.silent_file_system", lambda folder: "nfs4")
    polled = await watched(Pace("auto")).next()
    assert isinstance(polled, Watching)
    assert (polled.how, "nfs4" in polled.warning) == ("polling", True)
    heard.put_nowait(Sign.BEGUN)
    assert await watched(Pace("events")).next() == Watching("events")


async def test_a_complete_comparison_comes_round_again(
    watched: Callable[[Pace], Watch], heard: "asyncio.Queue[Heard]"
) -> None:
    notices = watched(Pace("events", reconcile_s=0.1))
    heard.put_nowait(Sign.BEGUN)
    assert await notices.next() == Watching("events")
    assert await notices.next() == Look("begun")
    for _ in range(3):
        assert await notices.next() == Look("reconcile")


@pytest.mark.parametrize("pace", [Pace("events"), Pace("polling", poll_s=60)])
async def test_it_ends_when_it_is_told_to(watched: Callable[[Pace], Watch], pace: Pace) -> None:
    notices = watched(pace)
    assert isinstance(await notices.next(), Watching)
    assert await notices.next() == Look("begun")
    notices.stop.set()
    assert await notices.ended()


async def test_a_missing_folder_is_told_once(tmp_path: Path) -> None:
    stop = asyncio.Event()
    notices = Watch(watch(tmp_path / "none", pace=QUIET, stop=stop), stop)
    gone = await notices.next()
    assert isinstance(gone, Gone)
    assert "No such file" in gone.reason
    asyncio.get_running_loop().call_later(0.3, stop.set)
    assert await notices.ended()


# what watchfiles says


async def test_more_than_can_be_kept_becomes_one_hint_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def flood(root: Path, end: Any) -> Iterator[Heard]:
        for number in range(file_events._WAITING + 1):
            yield Hint(frozenset([root / str(number)]))
        loop.call_soon_threadsafe(delivered.set)

    monkeypatch.setattr(file_events, "_heard", flood)
    with listening(tmp_path, asyncio.Event()) as heard:
        await asyncio.wait_for(delivered.wait(), WITHIN_S)
        assert heard.get_nowait() == Hint(frozenset([tmp_path]))
        assert heard.empty()


def hints(
    monkeypatch: pytest.MonkeyPatch, root: Path, *outcomes: Exception | set[tuple[Any, str]]
) -> list[Heard]:
    """What becomes of what watchfiles yields or raises, one call of it after another."""
    scripted = iter(outcomes)

    def scripted_watch(*_: object, **__: object) -> Iterator[set[tuple[Any, str]]]:
        outcome = next(scripted)
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome

    monkeypatch.setattr(watchfiles, "watch", scripted_watch)
    return list(file_events._heard(root, file_events._End(asyncio.Event())))


def test_names_that_are_never_indexed_are_no_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        ".git/index",
        ".a.md.swp",
        "node_modules/x.md",
        "deep/.cache/a",
        "a.md",
        "b/.gitignore",
    ]
    changes = {(watchfiles.Change.modified, str(tmp_path / name)) for name in names}
    begun, hint, ended = hints(monkeypatch, tmp_path, changes)
    assert (begun, ended) == (Sign.BEGUN, Sign.ENDED)
    assert hint == Hint(frozenset([tmp_path / "a.md", tmp_path / "b"]))


def test_a_great_many_paths_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {(watchfiles.Change.added, f"{tmp_path}/{number}.md") for number in range(1_001)}
    assert Hint(frozenset([tmp_path])) in hints(monkeypatch, tmp_path, changes)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError("OS file watch limit reached. about [...]"), "fs.inotify.max_user_watches"),
        (
            RuntimeError("Error creating recommended watcher: Too many open files (os error 24)"),
            "fs.inotify.max_user_instances",
        ),
        (OSError("something new"), "something new"),
    ],
)
def test_why_nothing_can_be_heard_comes_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    (said,) = hints(monkeypatch, tmp_path, error)
    assert isinstance(said, CannotListen)
    assert remedy in str(said)


def test_a_folder_that_may_not_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {(watchfiles.Change.added, str(tmp_path / "a.md"))}
    said = hints(monkeypatch, tmp_path, PermissionError("secret"), changes)
    assert said == [Sign.BEGUN, Hint(frozenset([tmp_path / "a.md"])), Sign.ENDED]


@pytest.mark.parametrize(
    "error", [FileNotFoundError("gone"), RuntimeError("Unable to decode path to string")]
)
def test_what_a_new_beginning_mends_ends_the_hearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert hints(monkeypatch, tmp_path, error) == [Sign.ENDED]
