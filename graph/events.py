"""A run as a stream of events: what the HTTP endpoint sends and the command line prints."""

from collections.abc import AsyncGenerator
from typing import Any, Literal, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from graph.builder import RagGraph
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagOutput

EventName = Literal["step", "token", "verdict", "citation", "done"]


class Event(TypedDict):
    """One event of a run; ``done`` comes exactly once, last, unless the run raises."""

    event: EventName
    data: Any


async def run_events(
    graph: RagGraph,
    question: object,
    context: RagContext,
    *,
    thread: str | None = None,
) -> AsyncGenerator[Event]:
    """Answer a question, event by event.

    ``step`` carries what a node did, ``token`` a piece of the answer as ``{"text": str}``,
    ``verdict`` a ``Verdict`` as soon as there is one, ``citation`` a ``Citation``, ``done`` the
    whole ``RagOutput``.

    ``thread`` continues a conversation; the graph must have been built with a checkpointer, and
    nobody else may run on the thread meanwhile.

    Raises:
        TandemError: the question cannot be taken, or a backend it needs does not answer.
    """
    output: RagOutput | None = None
    config: RunnableConfig = {"configurable": {"thread_id": thread}} if thread else {}
    stream = graph.astream(
        {"question": check_question(question)},
        config,
        context=context,
        durability="exit" if thread else None,  # a run that breaks off is no turn
        stream_mode=["messages", "custom", "values"],
        output_keys=graph.output_channels,  # by default, values are the whole state
    )
    async for mode, item in stream:
        if mode == "custom":
            yield _custom(cast(dict[str, Any], item))
        elif mode == "values":
            output = cast(RagOutput, item)
        elif text := _token(item):
            yield Event(event="token", data={"text": text})
    if output is None:
        raise RuntimeError("the graph ended without output")
    for citation in output["citations"]:
        yield Event(event="citation", data=citation)
    yield Event(event="done", data=output)


def _custom(item: dict[str, Any]) -> Event:
    """What a node wrote: a verdict, or else a step."""
    if "verdict" in item:
        return Event(event="verdict", data=item["verdict"])
    return Event(event="step", data=item)


def _token(item: object) -> str:
    """The text of a streamed piece of the answer; other nodes' model calls are no answer."""
    message, metadata = cast(tuple[Any, dict[str, Any]], item)
    if isinstance(message, AIMessageChunk) and metadata.get("langgraph_node") == "generate":
        return message.text
    return ""
