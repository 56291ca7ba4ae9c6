"""Messages between processes: in order, answered or not, and lost with the other side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from qdrant_client import models

from api.workers.channel import Channel, pair
from backends.visibility import Visibility
from errors import Stopping, TandemError, TooBusy, UnavailableError

EVERYTHING = models.Filter()


@contextlib.asynccontextmanager
async def channels() -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends, each handling what the other sends."""
    one, two = [await Channel.open(end) for end in pair()]
    tasks = [asyncio.create_task(end.run()) for end in (one, two)]
    try:
        yield one, two
    finally:
        one.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def test_calls_are_answered_and_tellings_are_not() -> None:
    async with channels() as (one, two):
        told: list[Any] = []
        two.handlers = {"double": lambda n: 2 * n, "note": told.append}
        one.tell("note", {"ö": [1, None]})
        assert await one.call("double", 21) == 42
        assert told == [{"ö": [1, None]}]


async def test_what_a_handler_does_at_once_is_done_in_the_order_of_sending() -> None:
    async with channels() as (one, two):
        done: list[str] = []
        free = asyncio.Event()

        def slow(name: str) -> Any:
            done.append(f"begins {name}")

            async def rest() -> str:
                await free.wait()
                done.append(f"ends {name}")
                return name

            return rest()

        two.handlers = {"slow": slow, "quick": done.append}
        calls = [one.call("slow", "a"), one.call("quick", "b"), one.call("slow", "c")]
        await calls[1]
        assert done == ["begins a", "b", "begins c"] or done == ["begins a", "b"]
        free.set()
        assert [await call for call in calls] == ["a", None, "c"]
        assert done[:3] == ["begins a", "b", "begins c"]


async def test_points_are_hidden_at_once_and_acknowledged_when_no_search_sees_them() -> None:
    async with channels() as (one, two):
        visibility = Visibility(["new"])
        two.handlers["exchange"] = lambda ids: visibility.exchange(ids, ["new"])
        two.handlers["now"] = lambda _: sorted(visibility.hidden)
        with visibility.searching(EVERYTHING):
            hiding = asyncio.ensure_future(one.call("exchange", ["old"]))
            assert await one.call("now") == ["old"]
            with visibility.searching(EVERYTHING):  # it began after: nobody waits for it
                await asyncio.sleep(0.01)
                assert not hiding.done()
        await asyncio.wait_for(hiding, 30)


@pytest.mark.parametrize(
    "error", [TooBusy("full", retry_after_s=7), Stopping("going"), UnavailableError("no store")]
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_errors_come_back_as_they_were_raised(error: TandemError, at_once: bool) -> None:
    async with channels() as (one, two):

        def at_once_fails(_: object) -> Any:
            raise error

        async def fails(_: object) -> Any:
            raise error

        two.handlers["fail"] = at_once_fails if at_once else fails
        with pytest.raises(type(error), match=str(error)) as caught:
            await one.call("fail")
        assert getattr(caught.value, "retry_after_s", 0) == getattr(error, "retry_after_s", 0)


async def test_a_call_that_is_not_answered_in_time_fails() -> None:
    async with channels() as (one, two):
        two.handlers["wait"] = lambda _: asyncio.Event().wait()
        with pytest.raises(UnavailableError, match=r"'wait' within 0\.01 s"):
            await one.call("wait", within_s=0.01)


async def test_when_the_other_side_ends_calls_fail_and_what_it_asked_for_is_ended() -> None:
    async with channels() as (one, two):
        ended = asyncio.Event()

        async def wait(_: object) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        two.handlers["wait"] = wait
        calls = [asyncio.ensure_future(one.call("wait")) for _ in range(2)]
        await asyncio.sleep(0.01)
        one.close()
        for call in calls:
            with pytest.raises(UnavailableError, match="has ended"):
                await call
        await asyncio.wait_for(ended.wait(), 30)
        with pytest.raises(UnavailableError, match="has ended"):
            await one.call("wait")
        one.tell("wait")  # lost, and no error


async def test_what_cannot_be_handled_ends_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    async with channels() as (one, _):
        with pytest.raises(UnavailableError, match="has ended"):
            await one.call("nobody knows this")
    assert "could not be handled" in caplog.text
