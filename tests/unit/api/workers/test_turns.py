"""Turns given by a leader: its bounds hold for the runs of all workers, and none is kept for one
that has ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.admission import Admission
from api.workers.channel import Channel, pair
from api.workers.turns import LeadersAdmission, Turns
from errors import Stopping, TooBusy, TooManyRequests

NOTHING: Any = contextlib.nullcontext()


class Workers:
    """The admissions of workers, each with a channel to the leader's."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._ends: list[Channel] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> tuple[LeadersAdmission, Channel]:
        leaders, workers = [await Channel.open(end) for end in pair()]
        turns = Turns(self._admission)
        leaders.handlers = turns.handlers

        async def lead() -> None:
            await leaders.run()
            turns.release()

        self.tasks += [asyncio.create_task(lead()), asyncio.create_task(workers.run())]
        self._ends.append(workers)
        return LeadersAdmission(workers), workers

    def close(self) -> None:
        for end in self._ends:
            end.close()


@contextlib.asynccontextmanager
async def leading(admission: Admission) -> AsyncIterator[Workers]:
    workers = Workers(admission)
    yield workers
    workers.close()
    await asyncio.wait_for(asyncio.gather(*workers.tasks), 30)


@contextlib.asynccontextmanager
async def run(
    admission: Admission, done: asyncio.Event, order: list[str], name: str, after: Any = NOTHING
) -> AsyncIterator["asyncio.Task[None]"]:
    async def begin() -> None:
        async with admission.turn(after):
            order.append(name)
            await done.wait()

    task = asyncio.create_task(begin())
    yield task
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # it may have been the test's to see


async def holds(admission: Admission, running: int, waiting: int) -> None:
    """Return when there are so many; messages take their time."""
    async with asyncio.timeout(30):
        while (admission.running, admission.waiting) != (running, waiting):  # noqa: ASYNC110 - of the leader, which tells nobody
            await asyncio.sleep(0.001)


async def test_bounds_hold_for_all_workers_together_and_turns_come_in_order() -> None:
    admission = Admission(2, 1)
    done, order = asyncio.Event(), list[str]()
    async with leading(admission) as workers:
        (one, _), (two, _) = await workers.start(), await workers.start()
        async with run(one, done, order, "a") as a, run(two, done, order, "b") as b:
            await holds(admission, 2, 0)
            async with run(two, done, order, "c") as c:
                await holds(admission, 2, 1)
                with pytest.raises(TooBusy, match="2 questions are being answered and 1 wait"):
                    async with one.turn(NOTHING):
                        pass
                with pytest.raises(TooBusy) as refused:
                    await one.check("anybody")
                assert refused.value.retry_after_s >= 1
                done.set()
                await asyncio.gather(a, b, c)
        assert order == ["a", "b", "c"]
        await holds(admission, 0, 0)
        await one.check("anybody")


async def test_who_waits_for_a_conversation_keeps_nobody_from_a_turn() -> None:
    admission = Admission(1, 1)
    done, order, free = asyncio.Event(), list[str](), asyncio.Event()

    @contextlib.asynccontextmanager
    async def conversation() -> AsyncIterator[None]:
        await free.wait()
        yield

    done.set()
    async with leading(admission) as workers:
        one, _ = await workers.start()
        async with run(one, done, order, "waits", conversation()) as waits:
            await holds(admission, 0, 1)
            async with run(one, done, order, "goes") as goes:
                await goes
            free.set()
            await waits
    assert order == ["goes", "waits"]


async def test_allowances_are_counted_for_all_workers_together() -> None:
    async with leading(Admission(9, 9, per_minute=3)) as workers:
        (one, _), (two, _) = await workers.start(), await workers.start()
        for each in (one, two, one):
            await each.check("a")
        with pytest.raises(TooManyRequests) as refused:
            await two.check("a")
        assert 1 <= refused.value.retry_after_s <= 20
        await two.check("b")


async def test_what_an_ended_worker_held_is_given_back() -> None:
    admission = Admission(1, 5)
    done, order = asyncio.Event(), list[str]()
    async with leading(admission) as workers:
        (one, gone), (two, _) = await workers.start(), await workers.start()
        async with run(one, done, order, "a"), run(one, done, order, "b"):
            await holds(admission, 1, 1)
            async with run(two, done, order, "c") as c:
                await holds(admission, 1, 2)
                gone.close()
                done.set()
                await asyncio.wait_for(c, 30)
                await holds(admission, 0, 0)


async def test_a_run_that_is_given_up_while_it_waits_leaves_the_queue() -> None:
    admission = Admission(1, 1)
    done, order = asyncio.Event(), list[str]()
    async with leading(admission) as workers:
        one, _ = await workers.start()
        async with run(one, done, order, "a"):
            await holds(admission, 1, 0)
            async with run(one, done, order, "b") as b:
                await holds(admission, 1, 1)
                b.cancel()
                await holds(admission, 1, 0)


async def test_draining_ends_what_has_begun_in_time_and_begins_nothing() -> None:
    admission = Admission(1, 1)
    done, order = asyncio.Event(), list[str]()
    async with leading(admission) as workers:
        one, _ = await workers.start()
        async with run(one, done, order, "a") as a:
            await holds(admission, 1, 0)
            for each in (admission, one):
                each.drain(0.05)
            with pytest.raises(Stopping):
                await one.check("anybody")
            with pytest.raises(Stopping):
                await a
            await asyncio.wait_for(admission.drained(), 30)
            await asyncio.wait_for(one.drained(), 30)
