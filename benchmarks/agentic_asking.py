"""How every contestant is asked and timed. Uses nothing but the standard library: peers run it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Plain = Mapping[str, Any]
"""A case as plain values, of ``Case.plain``."""


@dataclass(slots=True)
class Asked:
    """What came of one question."""

    answer: str = ""
    first_s: float | None = None
    """From the question to the first piece of the answer; None without an answer."""

    def add(self, piece: str, since: float) -> None:
        if piece and self.first_s is None:
            self.first_s = time.perf_counter() - since
        self.answer += piece


Ask = Callable[[Plain], Awaitable[Asked]]


async def ask_all(ask: Ask, cases: Sequence[Plain], clients: int) -> dict[str, Any]:
    """Ask every question, so many at a time.

    Seconds by the clock, this process's own seconds of the processor, and what came of it.
    """
    waiting = list(enumerate(cases))[::-1]
    asked: dict[int, Asked] = {}

    async def client() -> None:
        while waiting:
            number, case = waiting.pop()
            asked[number] = await ask(case)

    begun, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds, busy = time.perf_counter() - begun, time.process_time() - processor
    ordered = [asked[number] for number in range(len(cases))]
    return {
        "questions": len(cases),
        "seconds": seconds,
        "processor_s": busy,
        "first_s": [each.first_s for each in ordered if each.first_s is not None],
        "answers": [each.answer for each in ordered],
    }


def holds(case: Plain, text: str) -> bool:
    """Whether a text holds the fact that answers the question."""
    return case["fact"] in text
