"""How many runs there are at once, how many wait for a turn, and how often one caller may ask.

A service that takes everything answers nobody in time: beyond what it can do it says so at once,
and when to come again.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from errors import Stopping, TooBusy, TooManyRequests

_FIRST_GUESS_S = 2.0
"""How long a run takes, before there was one."""
_NEWEST = 0.2
"""The weight of the last run in the average of how long they take."""
_LONGEST_S = 60
"""What a caller is told to wait at most: by then it looks different anyway."""


class Admission:
    """The turns of one service. For one event loop."""

    def __init__(self, max_runs: int, max_queued: int, per_minute: int | None = None) -> None:
        self._max_runs = max_runs
        self._max_queued = max_queued
        self._per_minute = per_minute
        self._slots = asyncio.Semaphore(max_runs)
        self._took_s = _FIRST_GUESS_S
        self._allowances: dict[str, _Allowance] = {}
        self.running = 0
        """Runs that have a turn now."""
        self.waiting = 0
        """Runs that wait for one."""
        self._ends_at: float | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._drained = asyncio.Event()

    async def check(self, caller: str) -> None:
        """Counts a request of a caller, and refuses it before its answer has begun.

        Raises:
            TooManyRequests: the caller asks more often than is allowed.
            TooBusy: there is no room to wait.
            Stopping: no run is begun any more.
        """
        if self._per_minute is not None:
            allowance = self._allowances.setdefault(caller, _Allowance(self._per_minute))
            if (wait_s := allowance.take()) > 0:
                raise TooManyRequests(
                    f"This key may ask {self._per_minute} times a minute. Try again in "
                    f"{_whole(wait_s)} s.",
                    retry_after_s=_whole(wait_s),
                )
        self._require_room()

    @contextlib.asynccontextmanager
    async def turn(self, after: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """One run's turn, waited for in the order of asking.

        ``after`` is entered first, and held as long: whoever waits for a conversation keeps nobody
        else from a run, and is counted among those that wait.

        Raises:
            TooBusy: too many wait already.
            Stopping: no run is begun any more, or this one has not ended in time.
        """
        self._require_room()
        try:
            async with contextlib.AsyncExitStack() as stack:
                limit = await stack.enter_async_context(asyncio.timeout_at(self._ends_at))
                self._limits.add(limit)
                stack.callback(self._leave, limit)
                self.waiting += 1
                try:
                    await stack.enter_async_context(after)
                    await stack.enter_async_context(self._slots)
                finally:
                    self.waiting -= 1
                stack.callback(self._end, time.monotonic())
                self.running += 1
                yield
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise _stopping() from exc

    def drain(self, within_s: float) -> None:
        """Begins no run any more, and ends in so many seconds those that have begun."""
        self._ends_at = asyncio.get_running_loop().time() + within_s
        for limit in self._limits:
            limit.reschedule(self._ends_at)
        if not self._limits:
            self._drained.set()

    async def drained(self) -> None:
        """Returns when, after ``drain``, the last run has ended."""
        await self._drained.wait()

    def _leave(self, limit: asyncio.Timeout) -> None:
        self._limits.discard(limit)
        if self._ends_at is not None and not self._limits:
            self._drained.set()

    def _end(self, begun: float) -> None:
        self.running -= 1
        self._took_s += _NEWEST * (time.monotonic() - begun - self._took_s)

    def _require_room(self) -> None:
        if self._ends_at is not None:
            raise _stopping()
        if self.waiting >= self._max_queued + (not self._slots.locked()):
            wait_s = _whole(self._took_s * (self.waiting + 1) / self._max_runs)
            raise TooBusy(
                f"{self.running} questions are being answered and {self.waiting} wait. Try again "
                f"in {wait_s} s.",
                retry_after_s=wait_s,
            )


class _Allowance:
    """A token bucket: a minute's worth at once, and then as fast as it fills."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left = self._most
        self._counted_at = time.monotonic()

    def take(self) -> float:
        """0 where one was left and is taken, else the seconds until there is one."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._most / 60)
        self._counted_at = now
        if self._left < 1:
            return (1 - self._left) * 60 / self._most
        self._left -= 1
        return 0.0


def _stopping() -> Stopping:
    return Stopping("The service is being stopped. Try again when it runs again.")


def _whole(seconds: float) -> int:
    return min(_LONGEST_S, max(1, math.ceil(seconds)))
