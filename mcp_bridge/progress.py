"""The events of a run as progress that an MCP client shows, and by which it knows we are alive."""

from collections.abc import Awaitable, Callable
from typing import Any

_EVERY_S = 1.0
"""How often the answer's growth is told: clients begin their timeouts anew at each."""
_BEGUN = {
    "retrieve": "Searching the documents",
    "grade_relevance": "Judging what was found",
    "rewrite_query": "Looking for a better search",
    "generate": "Writing the answer",
}

Report = Callable[[float, float | None, str | None], Awaitable[None]]


class Progress:
    """Tells a client what a run does. The number only rises: nobody knows how long it will get."""

    def __init__(self, report: Report, clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._told = 0
        self._written = 0
        self._last = clock()

    async def tell(self, event: str, data: Any) -> None:
        """Pass on what a client can use of an event."""
        if event == "token":
            self._written += len(data["text"])
            if self._clock() - self._last >= _EVERY_S:
                await self._say(f"Writing the answer: {self._written:,} characters")
        elif event == "thinking" and self._clock() - self._last >= _EVERY_S:
            await self._say("Thinking")
        elif event == "step" and (message := _in_words(data)):
            await self._say(message)

    async def _say(self, message: str) -> None:
        self._told += 1
        self._last = self._clock()
        await self._report(float(self._told), None, message)


def _in_words(step: dict[str, Any]) -> str:
    """What a node does or did; empty where it is not worth a line."""
    if step.get("state") == "started":
        return _BEGUN.get(step["step"], "")
    if step["step"] == "retrieve":
        return f"Found {step['found']} passages"
    if step["step"] == "grade_relevance" and "relevant" in step:
        return f"{step['relevant']} of them are relevant"
    return ""
