"""Waiting for a backend that does not answer: how long, and who is told."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from errors import EmbeddingsUnavailable, VectorStoreUnavailable

T = TypeVar("T")
OnPause = Callable[[object, str], None]
"""Told who waits (any object, the same one each time) and why; an empty reason: not any more."""


class Backoff:
    """Waits without end that double up to a longest one, in seconds.

    Each is shortened by chance by up to a half, so that several who wait for the same server do
    not all come back to it in the same instant.
    """

    def __init__(self, first_s: float = 0.5, longest_s: float = 30.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s

    def __iter__(self) -> Iterator[float]:
        delay = self._first_s
        while True:
            yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - chance, not a secret
            delay = min(2 * delay, self._longest_s)


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    *,
    delays_s: Iterable[float],
    on_pause: OnPause,
    stopping: asyncio.Event | None = None,
) -> T:
    """The attempt, repeated after each delay while the backend does not answer.

    Raises:
        EmbeddingsUnavailable, VectorStoreUnavailable: after the last delay, or at once when
            ``stopping`` is set.
    """
    delays = iter(delays_s)
    while True:
        try:
            result = await attempt()
        except (EmbeddingsUnavailable, VectorStoreUnavailable) as exc:
            delay = next(delays, None)
            if delay is None:
                raise
            on_pause(attempt, str(exc))
            if await is_set_within(stopping or asyncio.Event(), delay):
                raise
        else:
            on_pause(attempt, "")
            return result


class Patience:
    """Repeats attempts after the given delays, until it is told that there is no time left."""

    def __init__(self, delays_s: Iterable[float], on_pause: OnPause) -> None:
        self._delays_s = delays_s
        self._on_pause = on_pause
        self._ended = asyncio.Event()

    def end(self) -> None:
        """What is being attempted is attempted no more."""
        self._ended.set()

    async def keep_trying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """``patiently``, with what this was made with."""
        return await patiently(
            attempt, delays_s=self._delays_s, on_pause=self._on_pause, stopping=self._ended
        )


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event, but no longer than that; whether it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
