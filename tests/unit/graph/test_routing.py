"""Where a run goes next."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from graph.context import RagContext
from graph.routing import route_after_grading, route_after_rewriting, route_at_start
from graph.state import RagState
from tests.fakes import passage


def runtime(**knobs: Any) -> Any:
    return SimpleNamespace(context=RagContext(**knobs))


def route(state: dict[str, Any], **knobs: Any) -> str:
    found = {"documents": [], "queries": ["q"], "rewrites": 0, **state}
    return asyncio.run(route_after_grading(cast(RagState, found), runtime(**knobs)))


def route_rewritten(state: dict[str, Any], **knobs: Any) -> str:
    rewritten = cast(RagState, {"queries": ["q"], **state})
    return asyncio.run(route_after_rewriting(rewritten, runtime(**knobs)))


def test_something_relevant_is_answered_from_at_once() -> None:
    assert route({"documents": [passage("a")]}) == "generate"


def test_nothing_relevant_is_searched_again() -> None:
    assert route({}) == "rewrite_query"


@pytest.mark.parametrize("rewrites", [0, 1, 3])
def test_the_loop_ends_after_the_allowed_rewrites(rewrites: int) -> None:
    assert route({"rewrites": rewrites}, max_rewrites=rewrites) == "generate"
    if rewrites:
        assert route({"rewrites": rewrites - 1}, max_rewrites=rewrites) == "rewrite_query"


def test_rewritings_are_counted_and_not_the_searches_they_lead_to() -> None:
    state = {"queries": ["q", "a", "b", "c"], "rewrites": 1}
    assert route(state, max_rewrites=2) == "rewrite_query"


def test_near_the_deadline_no_search_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"searches": ["other words"], "deadline": 100.0}
    for now, in_time in ((96.0, True), (97.0, False), (101.0, False)):
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        assert route(state, deadline_s=10.0) == ("rewrite_query" if in_time else "generate")
        assert route_rewritten(state, deadline_s=10.0) == ("retrieve" if in_time else "generate")


def test_a_first_search_is_made_however_late_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 101.0)
    follow_up = {"searches": ["alone"], "queries": [], "deadline": 100.0}
    assert route_rewritten(follow_up, deadline_s=10.0) == "retrieve"


def test_a_question_that_follows_others_is_rewritten_first() -> None:
    assert asyncio.run(route_at_start(cast(RagState, {"question": "Why?"}))) == "retrieve"
    turn = {"question": "Who?", "answer": "I."}
    follow_up = cast(RagState, {"question": "Why?", "conversation": [turn]})
    assert asyncio.run(route_at_start(follow_up)) == "rewrite_query"


def test_without_a_new_query_the_run_goes_on_to_say_that_nothing_was_found() -> None:
    assert route_rewritten({"searches": []}) == "generate"
    assert route_rewritten({"searches": ["other words"]}) == "retrieve"
