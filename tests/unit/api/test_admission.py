"""Turns of runs: bounded, waited for in order, refused with a time to come again, and drained."""

import asyncio
import contextlib
from typing import Any

import pytest

from api.admission import Admission
from errors import Stopping, TooBusy, TooManyRequests

NOTHING: Any = contextlib.nullcontext()


class Held:
    """Runs that hold their turn until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.done = asyncio.Event()
        self.order: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, count: int) -> None:
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._run(len(self.tasks))))
        await asyncio.sleep(0.01)

    async def _run(self, number: int) -> None:
        async with self.admission.turn(NOTHING):
            self.order.append(number)
            await self.done.wait()


async def test_runs_beyond_the_bound_wait_their_turn_and_then_go_in_order() -> None:
    admission = Admission(2, 3)
    held = Held(admission)
    await held.begin(5)
    assert (admission.running, admission.waiting, held.order) == (2, 3, [0, 1])
    held.done.set()
    await asyncio.gather(*held.tasks)
    assert held.order == [0, 1, 2, 3, 4]
    assert (admission.running, admission.waiting) == (0, 0)


@pytest.mark.parametrize("queued", [0, 1, 3])
async def test_beyond_the_queue_is_refused_with_a_time(queued: int) -> None:
    admission = Admission(1, queued)
    held = Held(admission)
    await held.begin(1 + queued)
    with pytest.raises(TooBusy) as refused:
        await admission.check("anybody")
    assert 1 <= refused.value.retry_after_s <= 60
    with pytest.raises(TooBusy):
        async with admission.turn(NOTHING):
            pass
    held.done.set()
    await asyncio.gather(*held.tasks)
    await admission.check("anybody")


async def test_a_run_that_is_left_while_it_waits_leaves_the_queue() -> None:
    admission = Admission(1, 1)
    held = Held(admission)
    await held.begin(2)
    held.tasks[1].cancel()
    await asyncio.wait({held.tasks[1]})
    assert (admission.running, admission.waiting) == (1, 0)
    held.done.set()
    await held.tasks[0]
    async with admission.turn(NOTHING):
        assert admission.running == 1


async def test_who_waits_for_a_conversation_takes_no_turn_from_others() -> None:
    admission = Admission(1, 5)
    thread = asyncio.Lock()
    await thread.acquire()

    async def follow_up() -> None:
        async with admission.turn(thread):
            pass

    waiting = asyncio.create_task(follow_up())
    await asyncio.sleep(0.01)
    async with admission.turn(NOTHING):
        assert (admission.running, admission.waiting) == (1, 1)
    thread.release()
    await waiting


async def test_each_caller_has_an_allowance_of_its_own() -> None:
    admission = Admission(10, 10, per_minute=2)
    await admission.check("one")
    await admission.check("one")
    with pytest.raises(TooManyRequests) as refused:
        await admission.check("one")
    assert 1 <= refused.value.retry_after_s <= 30
    await admission.check("another")


async def test_draining_lets_runs_end_and_then_ends_them() -> None:
    admission = Admission(1, 5)
    quick = asyncio.Event()

    async def run(until: asyncio.Event) -> str:
        async with admission.turn(NOTHING):
            await until.wait()
        return "ended"

    ended = asyncio.create_task(run(quick))
    stuck = asyncio.create_task(run(asyncio.Event()))
    await asyncio.sleep(0.01)
    admission.drain(0.1)
    with pytest.raises(Stopping):
        await admission.check("anybody")
    quick.set()
    assert await ended == "ended"
    with pytest.raises(Stopping):
        await asyncio.wait_for(stuck, 30)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_runs_own_timeout_is_its_own() -> None:
    admission = Admission(1, 0)
    with pytest.raises(TimeoutError):
        async with admission.turn(NOTHING):
            raise TimeoutError
