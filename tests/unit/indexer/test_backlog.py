import asyncio
from pathlib import Path

import pytest

from indexer.backlog import Backlog
from indexer.watch import Look

NOTES, PAPERS = Path("/notes"), Path("/papers")


def touched(*paths: str) -> Look:
    return Look("touched", frozenset(map(Path, paths)))


async def test_looks_are_merged_while_they_wait() -> None:
    backlog = Backlog()
    backlog.add(NOTES, touched("/notes/a.md"))
    backlog.add(NOTES, touched("/notes/a.md", "/notes/b.md"))
    backlog.add(PAPERS, Look("reconcile"))
    batch = await backlog.take()
    assert batch.touched == {NOTES: {NOTES / "a.md", NOTES / "b.md"}}
    assert batch.complete == {PAPERS}
    assert batch.pending() == 2
    assert not backlog.batch


async def test_taking_waits_until_something_is_due() -> None:
    backlog = Backlog()
    taking = asyncio.create_task(backlog.take())
    await asyncio.sleep(0)
    assert not taking.done()
    backlog.add(NOTES, Look("begun"))
    assert (await asyncio.wait_for(taking, 30)).complete == {NOTES}


async def test_more_paths_than_are_worth_telling_apart_become_their_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("indexer.backlog._MANY", 3)
    backlog = Backlog()
    backlog.add(NOTES, touched(*(f"/notes/{number}.md" for number in range(4))))
    backlog.add(PAPERS, touched("/papers/a.md"))
    assert (await backlog.take()).touched == {NOTES: {NOTES}, PAPERS: {PAPERS / "a.md"}}


async def test_only_what_is_known_to_have_changed_counts_as_behind() -> None:
    backlog = Backlog()
    backlog.add(NOTES, Look("reconcile"))
    backlog.add(NOTES, Look("poll"))
    assert backlog.batch.since is None
    backlog.add(NOTES, touched("/notes/a.md"))
    assert backlog.batch.since is not None


async def test_what_was_put_back_is_as_old_as_before_and_comes_with_what_is_new() -> None:
    backlog = Backlog()
    backlog.add(NOTES, touched("/notes/a.md"))
    batch = await backlog.take()
    backlog.add(NOTES, touched("/notes/b.md"))
    backlog.put_back(batch)
    again = await backlog.take()
    assert again.touched == {NOTES: {NOTES / "a.md", NOTES / "b.md"}}
    assert again.since == batch.since


async def test_what_is_due_in_a_root_that_vanished_is_dropped() -> None:
    backlog = Backlog()
    backlog.add(NOTES, touched("/notes/a.md"))
    backlog.drop(NOTES)
    assert not backlog.batch
    assert backlog.batch.since is None
    taking = asyncio.create_task(backlog.take())
    await asyncio.sleep(0)
    assert not taking.done()
    taking.cancel()
