"""A run of the graph on behalf of a client, in a task of its own."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Self, cast

from graph.state import RagOutput
from graph.step import Event

_BEHIND = 256
"""Events that a slow reader may be behind before the run waits for it."""
_PIECES = ("token", "thinking")


class Run:
    """Gathers a run's events while its reader is busy; leaving the block ends the run.

    The run is cancelled once, in its own task, whoever is cancelled how often: frameworks that
    cancel again and again would interrupt LangGraph's clean-up, and leave its nodes running.
    """

    def __init__(self, events: AsyncGenerator[Event]) -> None:
        self._events = events
        self._waiting: list[Event] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._gather())
        self._task.add_done_callback(_retrieved)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Whatever has come, as soon as anything has; pieces of text are joined.

        Raises:
            TandemError: the run failed with it; what came before has been given.
        """
        while not self._task.done() or self._waiting:
            await self._news.wait()
            self._news.clear()
            events, self._waiting = self._waiting, []
            self._room.set()
            if events:
                yield joined(events)
        self._task.result()

    async def output(self) -> RagOutput:
        """What the run comes to.

        Raises:
            TandemError: the run failed with it.
        """
        last: Event | None = None
        async for batch in self.batches():
            last = batch[-1]
        if last is None or last["event"] != "done":
            raise RuntimeError("a run ended without done")
        return cast(RagOutput, last["data"])

    async def _gather(self) -> None:
        try:
            async with contextlib.aclosing(self._events) as events:
                async for event in events:
                    if len(self._waiting) >= _BEHIND:
                        self._room.clear()
                        await self._room.wait()
                    self._waiting.append(event)
                    self._news.set()
        finally:
            self._news.set()


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Nobody may be left to hear how a run ended."""
    if not task.cancelled():
        task.exception()


def joined(events: Sequence[Event]) -> list[Event]:
    """The events, with consecutive pieces of text put together."""
    if len(events) == 1:  # as nearly always: a language model is slower than its readers
        return list(events)
    return [
        event for name, group in groupby(events, itemgetter("event")) for event in _one(name, group)
    ]


def _one(name: str, group: Iterator[Event]) -> Iterator[Event]:
    if name not in _PIECES:
        return group
    text = "".join(event["data"]["text"] for event in group)
    return iter([cast(Event, {"event": name, "data": {"text": text}})])
