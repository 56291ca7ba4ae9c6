"""Attempts at a backend that does not answer, repeated for a while."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from errors import EmbeddingsUnavailable, VectorStoreUnavailable

T = TypeVar("T")


class Patience:
    """Repeats attempts after the given delays, until it is told that there is no time left."""

    def __init__(self, delays_s: Sequence[float]) -> None:
        self._delays_s = delays_s
        self._ended = asyncio.Event()

    def end(self) -> None:
        """What is being attempted is attempted no more."""
        self._ended.set()

    async def keep_trying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The attempt, repeated after each delay while the backend does not answer.

        Raises:
            EmbeddingsUnavailable, VectorStoreUnavailable: after the last attempt.
        """
        for delay in self._delays_s:
            try:
                return await attempt()
            except (EmbeddingsUnavailable, VectorStoreUnavailable):
                if self._ended.is_set():
                    raise
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), delay)
        return await attempt()
