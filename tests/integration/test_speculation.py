"""A run whose answer is begun beside the grading, over HTTP; the server is scripted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.messages import AIMessageChunk

from graph.builder import RagGraph
from graph.context import RagContext
from graph.events import run_events
from graph.step import Event
from tests.language_model_graph import choices, graph_on
from tests.language_model_server import DONE, HANG, Reply, ScriptedServer, scripted, stream

QUESTION = "How fast do bees fly?"
CHAT, BATCH = "/v1/chat/completions", "/v1/chat/completions/batch"
USAGE = {"prompt_tokens": 300, "completion_tokens": 9}
ENDED = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n"
ANSWER = stream("25 km/h", " [1].", " Strong [2].", end=[ENDED, DONE])
CONTEXT = RagContext(verification="off", max_rewrites=0)


@asynccontextmanager
async def grading(*probable: float) -> AsyncIterator[tuple[ScriptedServer, RagGraph]]:
    """A server that answers at once and grades when it is released; and the graph on it."""
    grades = Reply([HANG], resumed=choices(*probable))
    async with (
        scripted(ANSWER, v1_chat_completions_batch=[grades]) as server,
        graph_on(f"{server.url}/v1", speculate=True) as graph,
    ):
        yield server, graph


async def both_asked(server: ScriptedServer) -> None:
    async with asyncio.timeout(30):
        while not (server.asked(CHAT) and server.asked(BATCH)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def told(graph: RagGraph, events: list[Event]) -> None:
    async for event in run_events(graph, QUESTION, CONTEXT):
        events.append(event)  # noqa: PERF401 - what came before is looked at meanwhile


def named(events: list[Event], name: str) -> list[Any]:
    return [event["data"] for event in events if event["event"] == name]


async def test_nothing_of_it_is_told_before_the_grades_confirm_it() -> None:
    events: list[Event] = []
    async with grading(0.7, 0.9) as (server, graph):
        run = asyncio.create_task(told(graph, events))
        await both_asked(server)
        await asyncio.sleep(0.1)  # the whole answer is there by now
        assert named(events, "token") == []
        server.released.set()
        await run
    output = events[-1]["data"]
    assert output["answer"] == "25 km/h [2]. Strong [1]."
    assert "".join(token["text"] for token in named(events, "token")) == output["answer"]
    assert (len(server.asked(CHAT)), len(server.asked(BATCH))) == (1, 1)
    assert output["status"] == "answered"
    assert output["usage"]["output_tokens"] == 9 + 2, "the answer's and the grades'"


async def test_nothing_of_it_is_told_when_the_grades_do_not_confirm_it() -> None:
    events: list[Event] = []
    async with grading(0.2, 0.1) as (server, graph):
        run = asyncio.create_task(told(graph, events))
        await both_asked(server)
        server.released.set()
        await run
    assert named(events, "token") == []
    assert events[-1]["data"]["status"] == "not_found"
    assert (len(server.asked(CHAT)), len(server.asked(BATCH))) == (1, 1)


async def test_whoever_listens_to_the_model_itself_does_not_hear_it_either() -> None:
    heard: list[str] = []
    async with grading(0.2, 0.1) as (server, graph):

        async def listen() -> None:
            stream = graph.astream({"question": QUESTION}, context=CONTEXT, stream_mode="messages")
            async for message, _ in stream:
                assert isinstance(message, AIMessageChunk)
                heard.append(message.text)

        run = asyncio.create_task(listen())
        await both_asked(server)
        await asyncio.sleep(0.1)
        server.released.set()
        await run
    assert heard == []


async def test_a_run_that_is_cancelled_while_grading_leaves_it() -> None:
    events: list[Event] = []
    async with grading(0.7, 0.9) as (server, graph):
        others = asyncio.all_tasks()
        run = asyncio.create_task(told(graph, events))
        await both_asked(server)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        async with asyncio.timeout(30):
            while {task for task in asyncio.all_tasks() - others if _ours(task)}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert named(events, "token") == []


async def test_a_deadline_that_ends_the_grading_leaves_it_and_answers_anew() -> None:
    events: list[Event] = []
    context = RagContext(verification="off", max_rewrites=0, deadline_s=0.6)
    async with grading(0.7, 0.9) as (server, graph):
        events = [event async for event in run_events(graph, QUESTION, context)]
        assert len(server.asked(CHAT)) == 2
    assert "were not graded" in events[-1]["data"]["notice"]
    assert events[-1]["data"]["answer"] == "25 km/h [1]. Strong [2]."


def _ours(task: asyncio.Task[Any]) -> bool:
    """Whether a task is the client's, and not a connection of the scripted server."""
    return "serve" not in repr(task.get_coro())
