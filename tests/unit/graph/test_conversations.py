"""Runs on a thread, which follow each other."""

import asyncio
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from backends.reader import Rewriting
from errors import (
    LanguageModelUnavailable,
    VectorStoreUnavailable,
)
from graph.context import RagContext
from graph.state import RagOutput
from tests.fakes import ScriptedReader
from tests.unit.graph.scripted_graph import (
    ANTS,
    BEES,
    ScriptedStore,
    rag,
    run,
)


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
