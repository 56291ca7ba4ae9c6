"""Waits for a server that may have fallen silent for good.

A long prompt or a loaded server makes an answer late, and a machine that has fallen asleep makes
it late for ever; both look the same to the one who waits. So while nothing comes, somebody asks
over a new connection whether the server is still there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from backends.chat.server import ServerDown, Unreachable
from errors import LanguageModelUnavailable

T = TypeVar("T")

FIRST_S = 0.5
"""Silence after which the server is asked for the first time; then after ever longer ones."""
LONGEST_S = 5.0
PATIENCE = 3
"""Questions in a row without an answer after which a server that takes connections is given up."""


class Watch:
    """Waits that end when the server is gone. Made by ``watching``."""

    def __init__(self, is_there: Callable[[], Awaitable[None]], limit_s: float) -> None:
        self._is_there = is_there
        self._limit_s = limit_s
        self._bound: asyncio.Timeout | None = None
        self._since = 0.0
        self._gone: LanguageModelUnavailable | None = None

    async def wait(self, result: Awaitable[T]) -> T:
        """The result.

        Raises:
            ServerDown: the server is gone, or nothing came within the limit.
        """
        self._since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limit_s) as self._bound:
                return await result
        except TimeoutError as exc:
            raise self._gone or ServerDown(
                f"The language model did not answer in time, within {self._limit_s:g} s: it may "
                "be overloaded. Try again, or raise TANDEM_LLM__TIMEOUT_S."
            ) from exc
        finally:
            self._bound = None

    async def run(self) -> None:
        """Ask whether the server is there whenever a wait takes long, until it is gone."""
        loop = asyncio.get_running_loop()
        pause, unanswered = FIRST_S, 0
        while True:
            await asyncio.sleep(pause)
            bound = self._bound
            if bound is None or loop.time() - self._since < pause:
                pause, unanswered = FIRST_S, 0
                continue
            try:
                await self._is_there()
            except LanguageModelUnavailable as exc:
                pause, unanswered = FIRST_S, unanswered + 1
                if bound is self._bound and (
                    isinstance(exc, Unreachable) or unanswered >= PATIENCE
                ):
                    self._gone = exc
                    bound.reschedule(loop.time())
                    return
            else:
                pause, unanswered = min(pause * 2, LONGEST_S), 0


@asynccontextmanager
async def watching(is_there: Callable[[], Awaitable[None]], limit_s: float) -> AsyncIterator[Watch]:
    """A watch for a few waits; ``is_there`` raises when the server does not answer."""
    watch = Watch(is_there, limit_s)
    asking = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        asking.cancel()
