"""Where a run goes next."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from graph.context import RagContext
from graph.routing import route_after_grading, route_after_rewriting, route_at_start
from graph.state import RagState
from tests.fakes import passage


def route(state: dict[str, Any], **knobs: Any) -> str:
    runtime = cast(Any, SimpleNamespace(context=RagContext(**knobs)))
    return route_after_grading(cast(RagState, state), runtime)


def test_something_relevant_is_answered_from_at_once() -> None:
    assert route({"documents": [passage("a")], "queries": ["q"]}) == "generate"


def test_nothing_relevant_is_searched_again() -> None:
    assert route({"documents": [], "queries": ["q"]}) == "rewrite_query"


@pytest.mark.parametrize("rewrites", [0, 1, 3])
def test_the_loop_ends_after_the_allowed_rewrites(rewrites: int) -> None:
    used_up = {"documents": [], "queries": ["q"] * (rewrites + 1)}
    assert route(used_up, max_rewrites=rewrites) == "generate"
    if rewrites:
        one_left = {"documents": [], "queries": ["q"] * rewrites}
        assert route(one_left, max_rewrites=rewrites) == "rewrite_query"


def test_near_the_deadline_no_search_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"documents": [], "queries": ["q"], "deadline": 100.0}
    for now, then in ((96.0, "rewrite_query"), (97.0, "generate"), (101.0, "generate")):
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        assert route(state, deadline_s=10.0) == then


def test_a_question_that_follows_others_is_rewritten_first() -> None:
    assert route_at_start(cast(RagState, {"question": "Why?"})) == "retrieve"
    turn = {"question": "Who?", "answer": "I."}
    follow_up = cast(RagState, {"question": "Why?", "conversation": [turn]})
    assert route_at_start(follow_up) == "rewrite_query"


def test_without_a_new_query_the_run_goes_on_to_say_that_nothing_was_found() -> None:
    assert route_after_rewriting(cast(RagState, {"query": ""})) == "generate"
    assert route_after_rewriting(cast(RagState, {"query": "other words"})) == "retrieve"
