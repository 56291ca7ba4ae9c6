"""A run is measured by the events it sends."""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from api.http.logs import ServedRequest, serving
from api.metrics import Metrics
from errors import LanguageModelUnavailable, QuestionError, TooBusy
from graph.step import Event

STEPS: list[Any] = [
    {"step": "retrieve", "state": "started"},
    {"step": "retrieve", "state": "finished", "ms": 20.0, "queries": ["a"], "found": 3},
    {
        "step": "grade_relevance",
        "state": "finished",
        "ms": 40.0,
        "grades": [
            {"id": "1", "relevance": 0.9, "kept": True},
            {"id": "2", "relevance": 0.1, "kept": False},
            {"id": "3", "relevance": None, "kept": True},
        ],
    },
    {"step": "rewrite_query", "state": "finished", "ms": 5.0, "queries": ["b"]},
    {"step": "rewrite_query", "state": "finished", "ms": 5.0, "queries": []},
    {
        "step": "grade_relevance",
        "state": "finished",
        "ms": 40.0,
        "grades": [
            {"id": "1", "relevance": 0.9, "kept": True},
            {"id": "4", "relevance": 0.2, "kept": False},
        ],
    },
]
DONE: dict[str, Any] = {
    "status": "degraded",
    "usage": {"input_tokens": 900, "output_tokens": 40, "cached_tokens": 800},
    "trace_id": "ab" * 16,
}


async def events(error: Exception | None = None) -> AsyncGenerator[Event]:
    for step in STEPS:
        yield Event(event="step", data=step)
    for word in ("It ", "is."):
        yield Event(event="token", data={"text": word})
    if error is not None:
        raise error
    yield Event(event="done", data=DONE)


async def test_what_a_run_did_is_counted(sample: "Sample") -> None:
    passed = [event async for event in sample.metrics.run(events())]
    assert passed == [event async for event in events()]
    assert sample("runs_total", status="degraded") == 1
    assert sample("runs_total", status="answered") == 0
    assert sample("run_seconds_count") == 1
    assert sample("first_token_seconds_count") == 1
    assert {kind: sample("tokens_total", kind=kind) for kind in ("input", "output", "cached")} == {
        "input": 900,
        "output": 40,
        "cached": 800,
    }
    assert sample("step_seconds_count", step="grade_relevance") == 2
    assert sample("step_seconds_sum", step="retrieve") == pytest.approx(0.02)


async def test_a_passage_is_counted_once_however_often_it_is_told_of(sample: "Sample") -> None:
    async for _ in sample.metrics.run(events()):
        pass
    grades = {grade: sample("grades_total", grade=grade) for grade in ("yes", "no", "unknown")}
    assert grades == {"yes": 1, "no": 2, "unknown": 1}
    assert sample("rewrites_total") == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LanguageModelUnavailable("It is down."), "failed", "language_model_unavailable"),
        (RuntimeError("a mistake of ours"), "failed", "internal_error"),
        (TooBusy("Later.", retry_after_s=2), "refused", "too_busy"),
        (QuestionError("It is empty."), "refused", "bad_question"),
    ],
)
async def test_a_run_that_ends_in_an_error_is_counted_by_its_code(
    sample: "Sample", error: Exception, status: str, code: str
) -> None:
    with pytest.raises(type(error)):
        async for _ in sample.metrics.run(events(error)):
            pass
    assert sample("runs_total", status=status) == 1
    assert sample("run_errors_total", code=code) == 1


async def test_a_run_whose_client_leaves_is_ended_and_counted(sample: "Sample") -> None:
    source = events()
    async with aclosing(sample.metrics.run(source)) as run:
        await anext(run)
    assert sample("runs_total", status="left") == 1
    with pytest.raises(StopAsyncIteration):  # it was closed too
        await anext(source)


async def test_the_lines_of_a_request_learn_of_its_trace(sample: "Sample") -> None:
    request = ServedRequest("r1")
    serving(request)
    async for _ in sample.metrics.run(events()):
        pass
    assert request.trace_id == "ab" * 16


async def test_what_is_not_known_of_the_index_is_not_told_as_zero(sample: "Sample") -> None:
    sample.metrics.index(None, None)
    assert math.isnan(sample("index_passages"))
    sample.metrics.index(None, 250)
    assert sample("index_passages") == 250


class Sample:
    """The value of a measurement by its name and labels."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def __call__(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"tandem_{name}", labels)
        assert found is not None, name
        return found


@pytest.fixture
def sample() -> Sample:
    return Sample(Metrics())


def test_how_many_runs_there_are_is_told_as_it_is(sample: Sample) -> None:
    sample.metrics.load(running=3, waiting=2)
    assert (sample("runs_in_progress"), sample("runs_waiting")) == (3, 2)
