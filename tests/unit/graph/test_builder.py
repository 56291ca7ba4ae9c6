"""Whole runs of the graph, with a scripted reader and store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from backends.connections import Backends
from backends.extractive.reader import MISSING, ExtractiveReader
from backends.filters import SearchFilters
from backends.reader import Passage, Piece, Rewriting, Thought, Turn
from errors import (
    EmbeddingsUnavailable,
    LanguageModelUnavailable,
    QuestionError,
    VectorStoreUnavailable,
)
from graph import builder
from graph.builder import RagGraph, build_graph
from graph.context import RagContext
from graph.events import run_events
from graph.freshness import Freshness
from graph.state import RagOutput
from graph.step import Event, Step
from nodes.generation import CUT, EXTRACTIVE, NOT_FOUND, UNCITED
from nodes.grading import NOT_GRADED, grade_relevance
from nodes.rewriting import NOT_REWRITTEN
from settings import Settings
from tests.fakes import ScriptedReader, WordEmbeddings, as_document, passage

BEES = passage("Bees fly as fast as 25 km/h. A queen lays 2,000 eggs a day.")
ANTS = passage("Ants carry fifty times their weight.")


@dataclass
class ScriptedStore:
    """Finds the same passages whatever is asked, or what is scripted for a query."""

    found: Sequence[Passage] = ()
    by_query: dict[str, list[Passage]] = field(default_factory=dict)
    queries: list[tuple[str, str]] = field(default_factory=list)
    filters: list[SearchFilters | None] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    pause_s: float = 0.0

    async def search(
        self, query: str, *, k: int, filters: SearchFilters | None = None, mode: str = "hybrid"
    ) -> list[Document]:
        self.queries.append((query, mode))
        self.filters.append(filters)
        await asyncio.sleep(self.pause_s)
        if mode in self.errors:
            raise self.errors[mode]
        return [as_document(p) for p in self.by_query.get(query, self.found)[:k]]


def rag(
    monkeypatch: pytest.MonkeyPatch, store: ScriptedStore, reader: ScriptedReader | None = None
) -> RagGraph:
    """The real graph over a scripted store and, instead of a language model, a scripted reader."""
    monkeypatch.setattr(builder, "language_model_reader", lambda backends: reader)
    return build_graph(backends(store))


def backends(store: ScriptedStore) -> Backends:
    return Backends(
        settings=Settings(_env_file=None),
        embeddings=WordEmbeddings(),
        sparse=cast(Any, None),
        store=cast(Any, store),
        extractive=ExtractiveReader(WordEmbeddings()),
        language_model=None,
    )


async def run(graph: RagGraph, question: str = "How fast do bees fly?", **knobs: Any) -> RagOutput:
    return cast(RagOutput, await graph.ainvoke({"question": question}, context=RagContext(**knobs)))


def steps_of(events: Sequence[Event], name: str) -> list[dict[str, Any]]:
    """What each step of this name told when it was done, its name, state and time left out."""
    told = [e["data"] for e in events if e["event"] == "step" and e["data"]["step"] == name]
    done = [data for data in told if data.get("state") != "started"]
    return [{k: v for k, v in data.items() if k not in ("step", "state", "ms")} for data in done]


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


async def test_a_language_model_that_is_down_is_asked_once_and_extracts_answer_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader(error=LanguageModelUnavailable("The model at http://gpu is down."))
    output = await run(rag(monkeypatch, ScriptedStore([BEES]), reader))
    assert output["status"] == "degraded"
    assert output["reader"] == "extractive"
    assert "http://gpu is down" in output["notice"]
    assert "25 km/h" in output["answer"]
    assert reader.asked == 1


async def test_what_arrived_before_the_model_broke_off_is_kept_and_labelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=["At 25 km/h [1]. ", "And"])
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)

    async def grade(question: str, passages: Sequence[Passage]) -> list[float | None]:
        reader.error = LanguageModelUnavailable("It stopped in the middle.")
        reader.fail_after = 1
        return [1.0 for _ in passages]

    monkeypatch.setattr(reader, "grade", grade)
    output = await run(graph)
    assert output["answer"] == "At 25 km/h [1]."
    assert output["status"] == "degraded"
    assert "stopped in the middle" in output["notice"]


async def test_an_answer_that_cites_nothing_is_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=["Fast."])
    output = await run(rag(monkeypatch, ScriptedStore([BEES]), reader))
    assert (output["status"], output["notice"]) == ("degraded", UNCITED)


async def test_a_sentence_that_its_passage_does_not_support_is_told_and_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader(
        {BEES["text"]: 1.0},
        pieces=["Bees reach 25 km/h [1]. ", "They sing [1]."],
        supports={"They sing.": 0.2},
    )
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    events = [event async for event in run_events(graph, "How fast do bees fly?", RagContext())]
    told = [event["data"]["sentence"] for event in events if event["event"] == "verdict"]
    assert told == ["Bees reach 25 km/h.", "They sing."]
    output = events[-1]["data"]
    assert [verdict["supported"] for verdict in output["verdicts"]] == [True, False]
    assert output["answer"] == "Bees reach 25 km/h [1]. They sing [1]."
    assert output["status"] == "answered"
    assert "Not supported by the cited passages: 1 of 2 sentences." in output["notice"]


async def test_enforcing_strikes_what_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader(
        {BEES["text"]: 1.0},
        pieces=["Bees reach 25 km/h [1]. ", "They sing [1]."],
        supports={"They sing.": 0.2},
    )
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    output = await run(graph, verification="enforce")
    assert output["answer"] == "Bees reach 25 km/h [1]."
    assert "Struck" in output["notice"]


async def test_an_answer_of_which_nothing_is_left_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader(
        {BEES["text"]: 1.0}, pieces=["They sing [1]."], supports={"They sing.": 0.2}
    )
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    output = await run(graph, verification="enforce")
    assert (output["status"], output["answer"]) == ("not_found", NOT_FOUND)
    assert output["citations"] == []


async def test_verification_can_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=["25 km/h [1]"])
    output = await run(rag(monkeypatch, ScriptedStore([BEES]), reader), verification="off")
    assert (output["verdicts"], reader.verified) == ([], [])


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


async def test_a_run_refuses_what_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QuestionError):
        await run(rag(monkeypatch, ScriptedStore([BEES])), question="  ")


async def test_the_extractive_answer_streams_as_tokens_and_adds_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = rag(monkeypatch, ScriptedStore([BEES]))
    events: list[Event] = [
        event async for event in run_events(graph, "How fast do bees fly?", RagContext())
    ]
    names = [event["event"] for event in events]
    assert names[-1] == "done"
    assert names.count("done") == 1
    tokens = "".join(event["data"]["text"] for event in events if event["event"] == "token")
    done = events[-1]["data"]
    assert tokens == done["answer"]
    assert done["notice"] == EXTRACTIVE
    steps = [tuple(event["data"].values())[:2] for event in events if event["event"] == "step"]
    nodes = ["retrieve", "grade_relevance", "generate"]
    assert steps == [(node, state) for node in nodes for state in ("started", "finished")]


async def finished(graph: RagGraph) -> list[dict[str, Any]]:
    """What each node of a run tells when it has ended."""
    return [
        event["data"]
        async for event in run_events(graph, "How fast do bees fly?", RagContext())
        if event["event"] == "step" and event["data"]["state"] == "finished"
    ]


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


class GatedReader(ScriptedReader):
    """Gives its pieces in batches, and waits before each batch but the first until it is let."""

    def __init__(self, *batches: list[str], **script: Any) -> None:
        super().__init__(**script)
        self.batches = batches
        self.gate = asyncio.Event()

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[str]:
        for number, batch in enumerate(self.batches):
            if number:
                await self.gate.wait()
                self.gate.clear()
            for piece in batch:
                yield piece


async def test_pieces_that_arrive_together_travel_together_and_a_lone_one_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = GatedReader(["At"], [" 25", " km/h", " [1]"], ["."], grades={BEES["text"]: 1.0})
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    told: list[str] = []
    async with asyncio.timeout(30):
        context = RagContext(verification="off")
        async for event in run_events(graph, "How fast do bees fly?", context):
            if event["event"] == "token":
                told.append(event["data"]["text"])
                reader.gate.set()  # the next batch comes only once this one has arrived
    assert told == ["At", " 25 km/h [1]", "."]


async def test_what_a_model_thinks_is_told_apart_and_neither_answered_nor_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces: list[Piece] = [Thought("Hm."), Thought(" Bees..."), "25 km/h [1]", Thought("!"), "."]
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=pieces)
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    graph.checkpointer = InMemorySaver()
    events = [
        event
        async for event in run_events(graph, "How fast do bees fly?", RagContext(), thread="1")
    ]
    told = [
        (event["event"], event["data"]["text"])
        for event in events
        if event["event"] in ("thinking", "token")
    ]
    assert told == [
        ("thinking", "Hm. Bees..."), ("token", "25 km/h [1]"), ("thinking", "!"), ("token", "."),
    ]  # fmt: skip
    assert events[-1]["data"]["answer"] == "25 km/h [1]."
    state = graph.get_state({"configurable": {"thread_id": "1"}})
    assert "Hm." not in repr(state.values)


async def test_a_model_that_only_thinks_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader({BEES["text"]: 1.0}, pieces=[Thought("Hm.")])
    output = await run(rag(monkeypatch, ScriptedStore([BEES]), reader))
    assert (output["status"], output["answer"]) == ("not_found", NOT_FOUND)


async def test_brackets_in_an_extract_are_not_taken_for_markers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note = passage("Bees fly as fast as 25 km/h [12] in calm air [1].")
    output = await run(rag(monkeypatch, ScriptedStore([note])))
    assert [c["marker"] for c in output["citations"]] == [1]
    assert output["citations"][0]["quote"] == note["text"]


async def test_each_run_on_a_thread_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader({ANTS["text"]: 0.9}, rewrites=["a"], pieces=["Fifty times [1]."])
    store = ScriptedStore([ANTS], by_query={"How fast?": [BEES], "a": [BEES], "b": [BEES]})
    graph = rag(monkeypatch, store, reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}

    async def ask(question: str) -> RagOutput:
        context = RagContext(max_rewrites=1)
        return cast(RagOutput, await graph.ainvoke({"question": question}, thread, context=context))

    async def rewrite_and_break(*_: object) -> Rewriting:
        store.errors["hybrid"] = VectorStoreUnavailable("It went away after the first search.")
        return Rewriting(["b"])

    assert (await ask("How fast?"))["queries"] == ["How fast?", "a"]
    monkeypatch.setattr(reader, "rewrite", rewrite_and_break)
    with pytest.raises(VectorStoreUnavailable):
        await ask("How fast?")
    del store.errors["hybrid"]
    output = await ask("How strong are ants?")
    assert output["queries"] == ["How strong are ants?"]
    assert output["status"] == "answered"


class SlowReader(ScriptedReader):
    """Takes its time for what it is told to."""

    def __init__(self, *slow: str, **script: Any) -> None:
        super().__init__(**script)
        self.slow = slow

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        if "grade" in self.slow:
            await asyncio.Event().wait()
        return await super().grade(question, passages)

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        if "stand_alone" in self.slow:
            await asyncio.Event().wait()
        return await super().stand_alone(question, conversation)

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> Rewriting:
        if "rewrite" in self.slow:
            await asyncio.Event().wait()
        return await super().rewrite(question, tried, passages)

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[Piece]:
        async for piece in super().answer(question, passages):
            yield piece
            if "answer" in self.slow:
                await asyncio.Event().wait()


async def test_a_grading_that_takes_too_long_is_done_without_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = SlowReader("grade", pieces=["25 km/h [1]."])
    graph = rag(monkeypatch, ScriptedStore([BEES, ANTS]), reader)
    output = await run(graph, deadline_s=0.2)
    assert output["answer"] == "25 km/h [1]."
    assert [document["relevance"] for document in output["documents"]] == [None, None]
    assert NOT_GRADED in output["notice"]
    assert output["status"] == "degraded"


async def test_a_rewriting_that_takes_too_long_is_done_without_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = rag(monkeypatch, ScriptedStore([ANTS]), SlowReader("rewrite"))
    output = await run(graph, deadline_s=0.2)
    assert output["status"] == "not_found"
    assert output["queries"] == ["How fast do bees fly?"]
    assert NOT_REWRITTEN in output["notice"]


async def test_a_follow_up_that_takes_too_long_to_make_whole_is_done_by_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = SlowReader("stand_alone", grades={BEES["text"]: 0.9}, pieces=["25 km/h [1]."])
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"question": "How fast do bees fly?"}, thread, context=RagContext())
    late = RagContext(deadline_s=0.2)
    output = await graph.ainvoke({"question": "And eggs of them?"}, thread, context=late)
    assert output["queries"] == ["And eggs of them? fast bees fly"]


async def test_an_answer_is_cut_off_at_the_deadline_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nodes.generation._LEAST_S", 0.05)
    reader = SlowReader("answer", grades={BEES["text"]: 1.0}, pieces=["25 km/h [1].", " And"])
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    output = await run(graph, deadline_s=0.2)
    assert output["answer"] == "25 km/h [1]."
    assert CUT in output["notice"]
    assert output["status"] == "degraded"


async def test_a_model_that_finds_nothing_is_believed_though_the_search_was_degraded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([BEES], errors={"hybrid": EmbeddingsUnavailable("Ollama is down.")})
    output = await run(rag(monkeypatch, store, ScriptedReader({BEES["text"]: 1.0})))
    assert (output["status"], output["reader"]) == ("not_found", "scripted")


async def test_a_follow_up_is_made_to_stand_alone_and_searched_as_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader(
        {BEES["text"]: 0.9}, pieces=["2,000 [1]."], alone={"And eggs?": "How many eggs, bees?"}
    )
    store = ScriptedStore([BEES])
    graph = rag(monkeypatch, store, reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}

    async def ask(question: str) -> RagOutput:
        found = await graph.ainvoke({"question": question}, thread, context=RagContext())
        return cast(RagOutput, found)

    await ask("How fast do bees fly?")
    output = await ask("And eggs?")
    assert output["question"] == "And eggs?"
    assert output["queries"] == ["How many eggs, bees?"]
    assert reader.followed == [("And eggs?", ["How fast do bees fly?"])]
    await ask("Third?")
    assert reader.followed[-1] == ("Third?", ["How fast do bees fly?", "How many eggs, bees?"])


async def test_a_follow_up_that_finds_nothing_is_rewritten_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader({BEES["text"]: 0.9}, rewrites=["egg count"], pieces=["Yes [1]."])
    store = ScriptedStore([BEES], by_query={"And eggs?": [ANTS]})
    graph = rag(monkeypatch, store, reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    for question in ("How fast do bees fly?", "And eggs?"):
        output = await graph.ainvoke({"question": question}, thread, context=RagContext())
    assert output["queries"] == ["And eggs?", "egg count"]
    assert output["status"] == "answered"


async def test_a_follow_up_while_the_language_model_is_down_is_still_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = ScriptedReader({BEES["text"]: 0.9}, pieces=["25 km/h [1]."])
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    graph.checkpointer = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"question": "How fast do bees fly?"}, thread, context=RagContext())
    reader.error = LanguageModelUnavailable("The model at http://gpu is down.")
    output = await graph.ainvoke({"question": "And eggs of them?"}, thread, context=RagContext())
    assert output["status"] == "degraded"
    assert output["queries"] == ["And eggs of them? fast bees fly"]
    assert output["notice"].count("http://gpu is down") == 1


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


async def test_a_run_hands_nothing_to_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ScriptedReader({BEES["text"]: 0.9}, rewrites=["bee speed"], pieces=["25 km/h [1]"])
    graph = rag(monkeypatch, ScriptedStore([ANTS], by_query={"bee speed": [BEES]}), reader)
    handed: list[object] = []
    loop = asyncio.get_running_loop()
    in_executor = loop.run_in_executor

    def watched(executor: Any, function: Any, *arguments: Any) -> Any:
        handed.append(function)
        return in_executor(executor, function, *arguments)

    monkeypatch.setattr(loop, "run_in_executor", watched)
    assert (await run(graph))["queries"] == ["How fast do bees fly?", "bee speed"]
    assert handed == []
