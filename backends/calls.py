"""How calls of backends go, told to whoever watches.

Whoever wants to know sets ``watch_calls`` for the task that does the work; the calls made within
it, also those of tasks that are started there, are told to it. Without a watcher nothing is
measured.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from errors import TandemError

Backend = Literal["vector_store", "embeddings", "language_model"]


class Watcher(Protocol):
    """Told of each call when it has ended."""

    def __call__(self, backend: Backend, seconds: float | None, error: TandemError | None) -> None:
        """``seconds`` until it answered or failed; None where it failed after it had answered."""
        ...


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def watch_calls(watcher: Watcher) -> None:
    """Tell of the calls that are made from now on within this task."""
    _watcher.set(watcher)


@contextmanager
def call(backend: Backend) -> Iterator[None]:
    """A call of a backend; one that is cancelled says nothing about it."""
    watcher = _watcher.get()
    if watcher is None:
        yield
        return
    begun = time.perf_counter()
    try:
        yield
    except TandemError as exc:
        watcher(backend, time.perf_counter() - begun, exc)
        raise
    watcher(backend, time.perf_counter() - begun, None)


def broke_off(backend: Backend, error: TandemError) -> None:
    """A stream whose beginning was a call that went well has failed."""
    if (watcher := _watcher.get()) is not None:
        watcher(backend, None, error)
