"""What a run does without when its time is nearly up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from backends.reader import Passage, Piece, Rewriting, Turn
from graph.context import RagContext
from nodes.generation import CUT
from nodes.grading import NOT_GRADED
from nodes.rewriting import NOT_REWRITTEN
from tests.fakes import ScriptedReader
from tests.unit.graph.scripted_graph import (
    ANTS,
    BEES,
    ScriptedStore,
    rag,
    run,
)


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
