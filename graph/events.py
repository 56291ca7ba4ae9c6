"""A run as a stream of events: what the HTTP endpoint sends and the command line prints."""

from collections.abc import AsyncIterator
from typing import Any, Literal, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from graph.builder import RagGraph
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagOutput

EventName = Literal["step", "token", "citation", "done"]


class Event(TypedDict):
    """One event of a run; ``done`` comes exactly once, last, unless the run raises."""

    event: EventName
    data: Any


async def run_events(
    graph: RagGraph,
    question: object,
    context: RagContext,
    config: RunnableConfig | None = None,
) -> AsyncIterator[Event]:
    """Answer a question, event by event.

    ``step`` carries what a node did, ``token`` a piece of the answer as ``{"text": str}``,
    ``citation`` a ``Citation``, ``done`` the whole ``RagOutput``.

    Raises:
        TandemError: the question cannot be taken, or a backend it needs does not answer.
    """
    output: RagOutput | None = None
    stream = graph.astream(
        {"question": check_question(question)},
        config,
        context=context,
        stream_mode=["messages", "custom", "values"],
        output_keys=graph.output_channels,  # by default, values are the whole state
    )
    async for mode, item in stream:
        if mode == "custom":
            yield Event(event="step", data=item)
        elif mode == "values":
            output = cast(RagOutput, item)
        elif text := _token(item):
            yield Event(event="token", data={"text": text})
    if output is None:
        raise RuntimeError("the graph ended without output")
    for citation in output["citations"]:
        yield Event(event="citation", data=citation)
    yield Event(event="done", data=output)


def _token(item: object) -> str:
    """The text of a streamed piece of the answer; other nodes' model calls are no answer."""
    message, metadata = cast(tuple[Any, dict[str, Any]], item)
    if isinstance(message, AIMessageChunk) and metadata.get("langgraph_node") == "generate":
        return message.text
    return ""
