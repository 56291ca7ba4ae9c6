"""The servers behind one language model: which of them may be asked now, and in which order."""

import asyncio
import time
from collections.abc import Sequence
from hashlib import blake2b

from backends.chat.breaker import CircuitBreaker
from backends.chat.server import ChatServer
from errors import LanguageModelUnavailable

FRESH_S = 3.0
"""A server that answered within this time is asked without checking first whether it is there."""


class Member:
    """One server with what is known about its health. Nothing runs while nobody asks."""

    def __init__(self, server: ChatServer) -> None:
        self.server = server
        self.breaker = CircuitBreaker()
        self.failure: LanguageModelUnavailable | None = None
        """Why it was given up the last time."""
        self._seen = float("-inf")
        self._checked = float("-inf")
        self._checking: asyncio.Task[None] | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether it answered a moment ago."""
        return time.monotonic() - self._seen < FRESH_S

    def doubt(self) -> None:
        """Check it before it is asked again: something about it has changed."""
        self._seen = float("-inf")

    def succeeded(self) -> None:
        """It did what it was asked."""
        self._seen = time.monotonic()
        self.breaker.succeeded()

    def failed(self, failure: LanguageModelUnavailable) -> None:
        """It did not answer."""
        self.doubt()
        self.failure = failure
        self.breaker.failed()

    def begin_check(self, since: float = float("inf")) -> asyncio.Task[None]:
        """Find out whether it is there; all who want to know at the same time ask once.

        What was found out since that time of ``time.monotonic`` stands.
        """
        checking = self._checking
        if checking is None or (checking.done() and self._checked < since):
            self._checking = checking = asyncio.create_task(self._check())
            checking.add_done_callback(_retrieved)
        return checking

    async def check(self, since: float = float("inf")) -> None:
        """Whether it is there, asked as ``begin_check`` says.

        Raises:
            LanguageModelUnavailable: it is not.
        """
        await asyncio.shield(self.begin_check(since))

    async def aclose(self) -> None:
        """Close its connections."""
        if self._checking is not None:
            self._checking.cancel()
        await self.server.aclose()

    async def _check(self) -> None:
        try:
            await self.server.check()
        except LanguageModelUnavailable as exc:
            self.failed(exc)
            raise
        else:
            self._seen = time.monotonic()
        finally:
            self._checked = time.monotonic()


def _retrieved(task: asyncio.Task[None]) -> None:
    """Nobody may be left to hear how a check ended."""
    if not task.cancelled():
        task.exception()


def spread(members: Sequence[Member], key: str) -> list[Member]:
    """The members in an order that the key decides, each first for an equal share of the keys.

    What has the same key goes to the same server while that is up, and finds its cached prefix
    there; a server that goes or comes moves its own share alone (rendezvous hashing, Thaler and
    Ravishankar 1998).
    """
    return sorted(
        members, key=lambda member: blake2b(f"{member.server.url}\n{key}".encode()).digest()
    )
