"""What a run tells while it works, and what it returns."""

from typing import cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from graph import builder
from graph.builder import build_graph
from graph.context import RagContext
from graph.events import run_events
from graph.freshness import Freshness
from graph.state import RagOutput
from tests.fakes import ScriptedReader, passage
from tests.unit.graph.scripted_graph import (
    ANTS,
    BEES,
    ScriptedStore,
    backends,
    finished,
    rag,
    run,
)


async def test_each_step_tells_what_came_of_it_and_how_long_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([ANTS], by_query={"bee speed": [ANTS, BEES]})
    reader = ScriptedReader({BEES["text"]: 0.9}, rewrites=["bee speed"], pieces=["25 km/h [1]"])
    steps = await finished(rag(monkeypatch, store, reader))
    assert [step["step"] for step in steps] == [
        "retrieve", "grade_relevance", "rewrite_query", "retrieve", "grade_relevance", "generate",
    ]  # fmt: skip
    assert all(step["ms"] >= 0 for step in steps)
    searched, graded, rewritten, again, regraded, generated = steps
    assert (searched["queries"], searched["found"]) == (["How fast do bees fly?"], 1)
    assert (again["queries"], again["found"]) == (["bee speed"], 2)
    assert again["passages"][1] == {
        "id": BEES["id"], "source": "docs/a.md", "title": "A", "heading": "", "page": None,
        "start_line": 1, "end_line": 1, "score": 1.0, "excerpt": BEES["text"],
    }  # fmt: skip
    counts = ("graded", "unknown", "relevant")
    assert [graded[name] for name in counts] == [1, 0, 0]
    assert [regraded[name] for name in counts] == [1, 0, 1]
    assert regraded["grades"] == [
        {"id": ANTS["id"], "relevance": 0.0, "kept": False},
        {"id": BEES["id"], "relevance": 0.9, "kept": True},
    ]
    assert rewritten["queries"] == ["bee speed"]
    assert (generated["citations"], generated["status"]) == (1, "answered")


async def test_a_long_passage_is_told_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    long = passage("Bees  fly.\n" * 10_000)
    (searched, *_) = await finished(rag(monkeypatch, ScriptedStore([long]), ScriptedReader()))
    (told,) = searched["passages"]
    assert told["excerpt"] == ("Bees fly. " * 30)[:200].strip()


async def test_a_rewriting_that_finds_nothing_new_tells_no_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = await finished(rag(monkeypatch, ScriptedStore([ANTS]), ScriptedReader()))
    assert steps[2]["step"] == "rewrite_query"
    assert steps[2]["queries"] == []


async def test_times_add_up_over_the_turns_of_a_node_and_begin_anew_with_each_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader(rewrites=["a"], pieces=["never said"])
    store = ScriptedStore([ANTS], pause_s=0.3)
    graph = rag(monkeypatch, store, reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}

    async def timings() -> dict[str, float]:
        output = await graph.ainvoke({"question": "How?"}, thread, context=RagContext())
        return cast(RagOutput, output)["timings"]

    first = await timings()
    assert set(first) == {"retrieve", "grade_relevance", "rewrite_query", "generate", "total"}
    total = first.pop("total")
    assert 600 < first["retrieve"] <= sum(first.values()) <= total
    store.pause_s = 0
    assert min([(await timings())["total"] for _ in range(3)]) < 600, "the machine may stall once"


async def test_without_a_language_model_nothing_is_used_and_no_model_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = await run(rag(monkeypatch, ScriptedStore([BEES])))
    assert output["model"] is None
    assert output["usage"] == {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0}
    assert output["trace_id"] is None


async def test_a_result_is_what_is_promised_and_not_the_whole_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = rag(monkeypatch, ScriptedStore([BEES]))
    async for event in run_events(graph, "How fast do bees fly?", RagContext()):
        if event["event"] == "done":
            assert set(event["data"]) == set(RagOutput.__annotations__)


async def test_the_answer_says_how_fresh_the_index_was_before_it_was_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([BEES])
    searches: list[int] = []

    async def freshness() -> Freshness:
        searches.append(len(store.queries))
        return Freshness(
            state="catching_up", pending=2, behind_s=0.5, checked_at=None, documents=7, reason=""
        )

    monkeypatch.setattr(builder, "language_model_reader", lambda backends: None)
    output = await run(build_graph(backends(store), freshness))
    assert output["index"]["pending"] == 2
    assert searches == [0]
