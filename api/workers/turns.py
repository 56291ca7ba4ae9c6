"""Turns of runs in the workers, given by the leader: the bounds hold for the service as a whole."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from api.admission import Admission
from api.workers.channel import Channel, Handler

_TOLD_WITHIN_S = 10.0
"""Whether there is room is known at once; only a turn itself may take as long as it takes."""


class LeadersAdmission(Admission):
    """A worker's admission. Who may go is the leader's to say; here runs are ended when it drains.

    For each run the leader is asked twice: whether there is room, and, once its conversation is
    free, for its turn.
    """

    def __init__(self, leader: Channel) -> None:
        super().__init__(sys.maxsize, sys.maxsize)
        self._leader = leader
        self._numbers = itertools.count()

    async def check(self, caller: str) -> None:
        """Counts a request of a caller; raises as ``Admission.check``."""
        await super().check(caller)
        await self._leader.call("check", caller, within_s=_TOLD_WITHIN_S)

    @contextlib.asynccontextmanager
    async def turn(self, after: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """One run's turn; raises as ``Admission.turn``."""
        async with super().turn(self._after_leader(after)):
            yield

    @contextlib.asynccontextmanager
    async def _after_leader(self, after: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        number = next(self._numbers)
        try:
            await self._leader.call("wait", number, within_s=_TOLD_WITHIN_S)
            async with after:
                await self._leader.call("begin", number)
                yield
        finally:
            self._leader.tell("end", number)


class Turns:
    """What the runs of one worker hold of the service's admission, at the leader's end."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._turns: dict[int, _Turn] = {}

    @property
    def handlers(self) -> dict[str, Handler]:
        """What the worker calls."""
        return {
            "check": self._admission.check,
            "wait": self._wait,
            "begin": self._begin,
            "end": self._end,
        }

    def release(self) -> None:
        """The worker has ended, and its runs with it."""
        for number in list(self._turns):
            self._end(number)

    async def _wait(self, number: int) -> None:
        turn = self._turns[number] = _Turn(self._admission)
        await turn.waits()

    async def _begin(self, number: int) -> None:
        await self._turns[number].begins()

    def _end(self, number: int) -> None:
        if (turn := self._turns.pop(number, None)) is not None:
            turn.end()


class _Turn:
    """A turn of the service's admission, held in a task because it is waited for in steps."""

    def __init__(self, admission: Admission) -> None:
        self._counted = asyncio.Event()
        self._conversation_is_free = asyncio.Event()
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._task = asyncio.create_task(self._hold(admission))
        self._task.add_done_callback(_retrieved)

    async def waits(self) -> None:
        """Returns when it is among those that wait; raises as ``Admission.turn``."""
        await self._until(self._counted)

    async def begins(self) -> None:
        """Returns when its turn has come; raises as ``Admission.turn``."""
        self._conversation_is_free.set()
        await self._until(self._begun)

    def end(self) -> None:
        """Gives the turn back, or the waiting for it up."""
        self._ended.set()
        if not self._begun.is_set():
            self._task.cancel()

    async def _until(self, event: asyncio.Event) -> None:
        happened = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({happened, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            happened.cancel()
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _hold(self, admission: Admission) -> None:
        async with admission.turn(self._conversation()):
            self._begun.set()
            await self._ended.wait()

    @contextlib.asynccontextmanager
    async def _conversation(self) -> AsyncIterator[None]:
        self._counted.set()
        await self._conversation_is_free.wait()
        yield


def _retrieved(task: "asyncio.Task[None]") -> None:
    """A turn may be ended, by draining, when nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
