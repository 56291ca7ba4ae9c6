"""Which searches a run makes, and which passages it goes on with."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.documents import Document

from backends.extractive.reader import MISSING
from backends.filters import SearchFilters
from backends.reader import Rewriting
from errors import (
    EmbeddingsUnavailable,
    VectorStoreUnavailable,
)
from graph.context import RagContext
from graph.events import run_events
from graph.step import Step
from nodes.generation import NOT_FOUND
from nodes.grading import grade_relevance
from tests.fakes import ScriptedReader, passage
from tests.unit.graph.scripted_graph import (
    ANTS,
    BEES,
    ScriptedStore,
    rag,
    run,
    steps_of,
)


async def test_one_good_search_is_answered_with_a_checked_citation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader({BEES["text"]: 0.9, ANTS["text"]: 0.1}, pieces=["At 25 km/h", " [1]."])
    store = ScriptedStore([ANTS, BEES])
    output = await run(rag(monkeypatch, store, reader))
    assert output["answer"] == "At 25 km/h [1]."
    assert output["status"] == "answered"
    assert output["reader"] == "scripted"
    assert output["queries"] == ["How fast do bees fly?"]
    assert [d["text"] for d in output["documents"]] == [BEES["text"]]
    assert output["citations"][0]["quote"] == "Bees fly as fast as 25 km/h."
    assert len(store.queries) == 1


async def test_the_runs_filters_hold_in_every_search(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ScriptedStore([ANTS], by_query={"bee speed": [BEES]})
    store.errors["hybrid"] = EmbeddingsUnavailable("away")
    reader = ScriptedReader({BEES["text"]: 0.9}, rewrites=["bee speed"], pieces=["25 km/h [1]"])
    filters = SearchFilters(path=("docs",))
    await run(rag(monkeypatch, store, reader), filters=filters)
    assert store.filters == [filters] * len(store.queries)
    assert [mode for _, mode in store.queries] == ["hybrid", "sparse"] * 2


async def test_a_copy_is_read_once_and_says_where_else_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = passage(BEES["text"], id="another", source="old/bees.md")
    reader = ScriptedReader({BEES["text"]: 0.9}, pieces=["25 km/h [1]"])
    store = ScriptedStore([BEES, copy, ANTS])
    output = await run(rag(monkeypatch, store, reader), top_k=2)
    assert reader.graded == [BEES["text"], ANTS["text"]]
    assert output["documents"][0]["also_in"] == ["old/bees.md"]


async def test_documents_come_in_the_order_of_their_grade_and_the_unknown_are_kept_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unknown = passage("Unreadable grade.")
    reader = ScriptedReader(
        {ANTS["text"]: 0.6, BEES["text"]: 0.9, unknown["text"]: None}, pieces=["Yes [3]."]
    )
    output = await run(rag(monkeypatch, ScriptedStore([unknown, ANTS, BEES]), reader))
    assert [d["relevance"] for d in output["documents"]] == [0.9, 0.6, None]


async def test_nothing_relevant_is_rewritten_and_graded_once_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([ANTS], by_query={"bee speed": [ANTS, BEES]})
    reader = ScriptedReader({BEES["text"]: 0.9}, rewrites=["bee speed"], pieces=["25 km/h [1]"])
    output = await run(rag(monkeypatch, store, reader))
    assert output["status"] == "answered"
    assert output["queries"] == ["How fast do bees fly?", "bee speed"]
    assert reader.graded == [ANTS["text"], BEES["text"]]


async def test_a_rewriting_of_several_searches_is_one_rewriting_and_one_grading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wasps = passage("Wasps sting.")
    store = ScriptedStore([ANTS], by_query={"bee speed": [BEES, ANTS], "wasp sting": [wasps]})
    reader = ScriptedReader(
        {BEES["text"]: 0.8, wasps["text"]: 0.9},
        rewrites=[Rewriting(["bee speed", "BEE speed!", "wasp sting"], "bees, wasps")],
        pieces=["25 km/h [2], and they sting [1]."],
    )
    graph = rag(monkeypatch, store, reader)
    question = "How fast do bees fly?"
    events = [e async for e in run_events(graph, question, RagContext(max_rewrites=1))]
    output = events[-1]["data"]
    assert output["queries"] == [question, "bee speed", "wasp sting"]
    assert [p["text"] for p in output["documents"]] == [wasps["text"], BEES["text"]]
    assert output["status"] == "answered"
    assert reader.graded == [ANTS["text"], BEES["text"], wasps["text"]]
    steps = steps_of(events, "rewrite_query")
    assert steps == [{"queries": ["bee speed", "wasp sting"], "missing": "bees, wasps"}]
    searched = [step["queries"] for step in steps_of(events, "retrieve")]
    assert searched == [[question], ["bee speed", "wasp sting"]]


async def test_at_most_three_searches_are_made_of_a_rewriting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([ANTS])
    proposed = ["How fast do bees fly", "a", "b", "c", "d"]
    reader = ScriptedReader(rewrites=[Rewriting(proposed), Rewriting(proposed)])
    output = await run(rag(monkeypatch, store, reader), max_rewrites=3)
    assert output["queries"] == ["How fast do bees fly?", "a", "b", "c", "d"]
    assert output["status"] == "not_found"


async def test_the_searches_of_a_rewriting_are_made_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([ANTS])
    both = asyncio.Barrier(2)
    search = store.search

    async def meet(query: str, **knobs: Any) -> list[Document]:
        if query in ("a", "b"):
            async with asyncio.timeout(30):
                await both.wait()
        return await search(query, **knobs)

    monkeypatch.setattr(store, "search", meet)
    reader = ScriptedReader(rewrites=[Rewriting(["a", "b"])])
    assert (await run(rag(monkeypatch, store, reader)))["queries"][1:] == ["a", "b"]


async def test_a_question_of_two_parts_is_searched_as_a_whole_and_by_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question = "How fast do bees fly? How strong are ants?"
    first, second = "How fast do bees fly?", "How strong are ants?"
    flies = [passage(f"Fly number {number} is here.") for number in range(12)]
    store = ScriptedStore(flies, by_query={first: [BEES, *flies], second: [ANTS, *flies]})
    reader = ScriptedReader({BEES["text"]: 0.9, ANTS["text"]: 0.8}, pieces=["Fast [1]. Very [2]."])
    output = await run(rag(monkeypatch, store, reader), question, top_k=2)
    assert output["queries"] == [question, first, second]
    assert {BEES["text"], ANTS["text"]} < set(reader.graded)
    assert len(reader.graded) == 4, "two, and one more for each further search"


async def test_without_embeddings_every_search_is_by_keywords_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([BEES], errors={"hybrid": EmbeddingsUnavailable("Ollama is down.")})
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=["25 km/h [1]"])
    question = "How fast do bees fly? How strong are ants?"
    output = await run(rag(monkeypatch, store, reader), question)
    assert {query for query, mode in store.queries if mode == "sparse"} == set(output["queries"])
    assert output["notice"].count("Ollama is down") == 1


async def test_what_was_kept_before_another_search_is_not_lost() -> None:
    state = cast(
        Any,
        {
            "asked": "Why?",
            "candidates": [ANTS],
            "documents": [passage(BEES["text"], relevance=0.9)],
            "grades": {BEES["id"]: 0.9},
        },
    )
    reader = ScriptedReader({ANTS["text"]: 0.95})
    runtime = cast(Any, SimpleNamespace(context=RagContext()))
    step = Step("grade_relevance", lambda _: None)
    found = await grade_relevance(
        state, runtime, reader=reader, fallback=reader, threshold=0.5, step=step
    )
    assert [p["id"] for p in found["documents"]] == [ANTS["id"], BEES["id"]]
    assert reader.graded == [ANTS["text"]]


async def test_the_extracts_for_each_part_are_quoted_and_what_is_not_found_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question = "How fast do bees fly? Who founded the city of Zanzibar?"
    output = await run(rag(monkeypatch, ScriptedStore([BEES, ANTS])), question)
    assert "25 km/h" in output["answer"]
    assert output["answer"].endswith(f"{MISSING} Who founded the city of Zanzibar.")
    assert output["status"] == "answered"
    assert [v["supported"] for v in output["verdicts"]][-1] is None


async def test_the_loop_is_bounded_and_says_that_nothing_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([ANTS])
    reader = ScriptedReader(rewrites=["a", "b", "c", "d"], pieces=["never said"])
    output = await run(rag(monkeypatch, store, reader), max_rewrites=2)
    assert (output["status"], output["answer"]) == ("not_found", NOT_FOUND)
    assert output["citations"] == []
    assert output["documents"] == []
    assert [query for query, _ in store.queries] == ["How fast do bees fly?", "a", "b"]


async def test_a_query_that_was_tried_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ScriptedStore([ANTS])
    reader = ScriptedReader(rewrites=["HOW FAST do bees fly?"])
    output = await run(rag(monkeypatch, store, reader))
    assert output["status"] == "not_found"
    assert len(store.queries) == 1


async def test_an_empty_index_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    output = await run(rag(monkeypatch, ScriptedStore()))
    assert output["status"] == "not_found"


async def test_without_embeddings_keywords_search_and_the_answer_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([BEES], errors={"hybrid": EmbeddingsUnavailable("Ollama is down.")})
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=["25 km/h [1]"])
    output = await run(rag(monkeypatch, store, reader))
    assert [mode for _, mode in store.queries] == ["hybrid", "sparse"]
    assert output["status"] == "degraded"
    assert "by keywords alone: Ollama is down." in output["notice"]


async def test_without_the_store_there_is_an_error_and_no_ungrounded_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore(errors={"hybrid": VectorStoreUnavailable("Qdrant is down.")})
    with pytest.raises(VectorStoreUnavailable, match="Qdrant is down"):
        await run(rag(monkeypatch, store, ScriptedReader(pieces=["made up"])))
