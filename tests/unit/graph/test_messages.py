"""Runs that are asked by messages: chat clients keep the conversation, or a thread does."""

from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from backends.reader import Turn
from errors import QuestionError
from graph.context import RagContext
from graph.events import run_events
from tests.fakes import ScriptedReader
from tests.unit.graph.scripted_graph import BEES, ScriptedStore, rag

FIRST = "How fast do bees fly?"
SAID = [HumanMessage(FIRST), AIMessage("25 km/h [1]."), HumanMessage("And eggs?")]


def scripted() -> ScriptedReader:
    return ScriptedReader(
        {BEES["text"]: 0.9}, pieces=["2,000 [1]."], alone={"And eggs?": "How many eggs, bees?"}
    )


async def chat(graph: Any, *messages: BaseMessage, thread: str = "") -> dict[str, Any]:
    config: RunnableConfig = {"configurable": {"thread_id": thread}} if thread else {}
    found = await graph.ainvoke({"messages": [*messages]}, config, context=RagContext())
    return cast(dict[str, Any], found)


async def test_the_last_message_is_the_question_and_the_answer_is_a_message_with_its_citations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = await chat(rag(monkeypatch, ScriptedStore([BEES]), scripted()), HumanMessage(FIRST))
    assert output["question"] == FIRST
    assert output["queries"] == [FIRST]
    answer = output["messages"][-1]
    assert isinstance(answer, AIMessage)
    assert answer.text == output["answer"] == "2,000 [1]."
    assert answer.additional_kwargs["citations"] == output["citations"]
    assert output["citations"][0]["source"] == BEES["source"]


async def test_messages_before_the_question_are_the_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = scripted()
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    output = await chat(graph, SystemMessage("Speak like a pirate."), *SAID)
    assert (output["question"], output["queries"]) == ("And eggs?", ["How many eggs, bees?"])
    assert reader.followed == [("And eggs?", [FIRST])]


async def test_a_thread_of_messages_goes_on_with_each_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = scripted()
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    graph.checkpointer = InMemorySaver()
    await chat(graph, HumanMessage(FIRST), thread="1")
    output = await chat(graph, HumanMessage("And eggs?"), thread="1")
    assert [message.type for message in output["messages"]] == ["human", "ai", "human", "ai"]
    assert reader.followed == [("And eggs?", [FIRST])]
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    later = await graph.ainvoke({"question": "Third?"}, config, context=RagContext())
    assert later["question"] == "Third?"
    assert reader.followed[-1] == ("Third?", [FIRST, "How many eggs, bees?"])


@pytest.mark.parametrize(
    "messages", [[AIMessage("Hello!")], [HumanMessage(" \0 ")], [HumanMessage("x" * 9_000)]]
)
async def test_what_is_no_question_is_refused(
    monkeypatch: pytest.MonkeyPatch, messages: list[BaseMessage]
) -> None:
    with pytest.raises(QuestionError):
        await chat(rag(monkeypatch, ScriptedStore([BEES]), scripted()), *messages)


async def test_a_conversation_that_a_client_keeps_is_no_part_of_the_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = scripted()
    graph = rag(monkeypatch, ScriptedStore([BEES]), reader)
    told = [Turn(question=FIRST, answer="25 km/h [1].")]
    events = run_events(graph, "And eggs?", RagContext(), conversation=told)
    output = [event async for event in events][-1]["data"]
    assert reader.followed == [("And eggs?", [FIRST])]
    assert output["question"] == "And eggs?"
    assert "messages" not in output
