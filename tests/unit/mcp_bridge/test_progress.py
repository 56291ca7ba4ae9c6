"""A run's events as progress: every step, and the answer's growth, but not every word."""

from typing import Any

from mcp_bridge.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def tell_all(events: list[tuple[str, Any]], seconds_each: float) -> list[tuple[float, str]]:
    told: list[tuple[float, str]] = []
    clock = Clock()

    async def report(number: float, total: float | None, message: str | None) -> None:
        assert total is None
        told.append((number, message or ""))

    progress = Progress(report, clock)
    for name, data in events:
        clock.now += seconds_each
        await progress.tell(name, data)
    return told


async def test_each_step_is_told_and_the_number_rises() -> None:
    steps = [
        {"step": "retrieve", "state": "started"},
        {"step": "retrieve", "state": "finished", "ms": 3.0, "found": 6},
        {"step": "grade_relevance", "state": "started"},
        {"step": "grade_relevance", "state": "finished", "ms": 9.0, "graded": 6, "relevant": 2},
        {"step": "rewrite_query", "state": "finished", "ms": 1.0, "queries": []},
        {"step": "a_step_of_the_future", "state": "started"},
        {"step": "generate", "state": "started"},
    ]
    told = await tell_all([("step", step) for step in steps], 0.0)
    assert told == [
        (1, "Searching the documents"),
        (2, "Found 6 passages"),
        (3, "Judging what was found"),
        (4, "2 of them are relevant"),
        (5, "Writing the answer"),
    ]


async def test_a_growing_answer_is_told_about_once_a_second() -> None:
    tokens = [("token", {"text": "word "}) for _ in range(100)]
    told = await tell_all(tokens, 0.1)
    assert 9 <= len(told) <= 10
    assert told[-1][1].startswith("Writing the answer: ")


async def test_events_that_say_nothing_to_a_client_are_left_out() -> None:
    events: list[tuple[str, Any]] = [("verdict", {}), ("citation", {}), ("done", {}), ("later", {})]
    assert await tell_all(events, 2.0) == []
