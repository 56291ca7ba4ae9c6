"""What a run answers, whatever the reader and the backends do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from backends.reader import Passage, Piece, Thought
from errors import (
    EmbeddingsUnavailable,
    LanguageModelUnavailable,
    QuestionError,
)
from graph.context import RagContext
from graph.events import run_events
from graph.step import Event
from nodes.generation import EXTRACTIVE, NOT_FOUND, UNCITED
from tests.fakes import ScriptedReader, passage
from tests.unit.graph.scripted_graph import (
    BEES,
    ScriptedStore,
    rag,
    run,
)


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


async def test_a_model_that_finds_nothing_is_believed_though_the_search_was_degraded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ScriptedStore([BEES], errors={"hybrid": EmbeddingsUnavailable("Ollama is down.")})
    output = await run(rag(monkeypatch, store, ScriptedReader({BEES["text"]: 1.0})))
    assert (output["status"], output["reader"]) == ("not_found", "scripted")
