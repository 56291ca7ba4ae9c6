"""What a node tells while it works: the events that a run's reader gets. Light to import."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

from typing_extensions import TypedDict

from graph.verdict import Verdict

EventName = Literal["step", "thinking", "token", "verdict", "citation", "done"]


class Event(TypedDict):
    """One event of a run; ``done`` comes exactly once, last, unless the run raises."""

    event: EventName
    data: Any


class Step:
    """A node at work. What it tells goes to LangGraph's "custom" stream, as ``Event``."""

    def __init__(self, name: str, write: Callable[[Event], None]) -> None:
        self.name = name
        self.begun = time.monotonic()
        self._write = write
        self._fields: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._kind: EventName = "token"

    def start(self) -> None:
        """Tell that the node begins."""
        self._write(Event(event="step", data={"step": self.name, "state": "started"}))

    def report(self, **fields: Any) -> None:
        """What came of the work; told together with its end."""
        self._fields.update(fields)

    def token(self, text: str) -> None:
        """The next piece of the answer. Pieces that arrive together are told together."""
        self._piece("token", text)

    def thinking(self, text: str) -> None:
        """The next piece of what the model thinks before it answers."""
        self._piece("thinking", text)

    def verdict(self, verdict: Verdict) -> None:
        """A sentence of the answer has been checked."""
        self._tell_pieces()
        self._write(Event(event="verdict", data=verdict))

    def finish(self) -> float:
        """Tell that the node has ended; how long it took, in milliseconds."""
        self._tell_pieces()
        ms = self.since(self.begun)
        data = {"step": self.name, "state": "finished", "ms": ms, **self._fields}
        self._write(Event(event="step", data=data))
        return ms

    def since(self, begun: float) -> float:
        """Milliseconds since a time of ``time.monotonic``."""
        return round((time.monotonic() - begun) * 1000, 3)

    def _piece(self, kind: EventName, text: str) -> None:
        if kind != self._kind:
            self._tell_pieces()
            self._kind = kind
        self._pieces.append(text)
        if len(self._pieces) == 1:
            asyncio.get_running_loop().call_soon(self._tell_pieces)

    def _tell_pieces(self) -> None:
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            self._write(Event(event=self._kind, data={"text": text}))
