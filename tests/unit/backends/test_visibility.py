import asyncio
from collections.abc import Awaitable, Collection

from qdrant_client import models

from backends.visibility import Visibility

ANY = models.Filter()


def left_out(where: models.Filter | None) -> set[str]:
    """The ids that a search with this filter does not see."""
    if where is None:
        return set()
    assert isinstance(where.must_not, list)
    (condition,) = where.must_not
    assert isinstance(condition, models.HasIdCondition)
    return {str(point) for point in condition.has_id}


async def test_with_nothing_hidden_a_search_is_not_filtered() -> None:
    visibility = Visibility()
    where = models.Filter(must=[models.HasIdCondition(has_id=["1"])])
    with visibility.searching(ANY) as plain, visibility.searching(where) as narrowed:
        assert plain is ANY
        assert narrowed is where


async def test_a_filter_of_the_caller_holds_as_well() -> None:
    visibility = Visibility()
    visibility.conceal(["2"])
    where = models.Filter(should=[models.HasIdCondition(has_id=["1"])])
    with visibility.searching(where) as seen:
        assert seen.must == [where]
        assert left_out(seen) == {"2"}


async def test_one_step_shows_a_version_and_hides_the_other() -> None:
    visibility = Visibility()
    await visibility.hide(["new 1", "new 2"])
    await visibility.hide(["old"], instead_of=["new 1", "new 2"])
    with visibility.searching(ANY) as seen:
        assert left_out(seen) == {"old"}
    visibility.forget(["old"])
    assert visibility.hidden == set()


async def test_what_a_search_found_hidden_stays_so_until_it_ends() -> None:
    visibility = Visibility()
    await visibility.hide(["new"])
    with visibility.searching(ANY) as seen:
        step = asyncio.create_task(visibility.hide(["old"], instead_of=["new"]))
        await asyncio.sleep(0)
        assert left_out(seen) == {"new"}
        with visibility.searching(ANY) as later:
            assert left_out(later) == {"old"}
    await step


async def test_hiding_waits_for_searches_that_began_before_and_for_no_others() -> None:
    visibility = Visibility()
    before = visibility.searching(ANY)
    before.__enter__()
    hiding = asyncio.create_task(visibility.hide(["old"]))
    await asyncio.sleep(0)
    with visibility.searching(ANY):  # begins later and goes on
        assert not hiding.done()
        before.__exit__(None, None, None)
        await asyncio.wait_for(hiding, 30)


async def test_a_search_that_fails_or_is_cancelled_is_not_waited_for() -> None:
    visibility = Visibility()

    async def search() -> None:
        with visibility.searching(ANY):
            await asyncio.Event().wait()

    task = asyncio.create_task(search())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait_for(visibility.hide(["1"]), 30)


async def test_showing_alone_waits_for_nobody() -> None:
    visibility = Visibility()
    visibility.conceal(["new"])
    with visibility.searching(ANY):
        await asyncio.wait_for(visibility.hide([], instead_of=["new"]), 30)
    assert visibility.hidden == set()


class Elsewhere:
    """Another process: what it was told, and searches of it that are waited for."""

    def __init__(self) -> None:
        self.told: list[tuple[list[str], list[str]]] = []
        self.searches_ended = asyncio.Event()

    def exchange(self, ids: Collection[str], instead_of: Collection[str]) -> Awaitable[bool]:
        self.told.append((list(ids), list(instead_of)))
        return self.searches_ended.wait()

    def forget(self, ids: Collection[str]) -> None:
        self.told.append(([], list(ids)))


async def test_other_processes_are_told_in_the_same_step_and_waited_for() -> None:
    visibility, elsewhere = Visibility(["new"]), Elsewhere()
    visibility.elsewhere = elsewhere
    hiding = asyncio.create_task(visibility.hide(["old"], instead_of=["new"]))
    await asyncio.sleep(0)
    assert visibility.hidden == {"old"}
    assert elsewhere.told == [(["old"], ["new"])]
    await asyncio.sleep(0.01)
    assert not hiding.done()
    elsewhere.searches_ended.set()
    await hiding
    visibility.forget(["old"])
    assert elsewhere.told[1:] == [([], ["old"])]


async def test_a_search_here_is_waited_for_although_other_processes_have_none() -> None:
    visibility, elsewhere = Visibility(), Elsewhere()
    visibility.elsewhere = elsewhere
    elsewhere.searches_ended.set()
    with visibility.searching(ANY):
        hiding = asyncio.create_task(visibility.hide(["old"]))
        await asyncio.sleep(0.01)
        assert not hiding.done()
    await asyncio.wait_for(hiding, 30)
