"""A run as a stream of events: what the HTTP endpoint sends and the command line prints."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from backends.reader import Turn
from graph.builder import RagGraph
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagInput, RagOutput
from graph.step import Event


async def run_events(
    graph: RagGraph,
    question: object,
    context: RagContext,
    *,
    thread: str | None = None,
    conversation: Sequence[Turn] = (),
) -> AsyncGenerator[Event]:
    """Answer a question, event by event.

    ``step`` says that a node begins, or has ended and what came of it; ``token`` carries a piece of
    the answer as ``{"text": str}``, ``verdict`` a ``Verdict`` as soon as there is one, ``citation``
    a ``Citation``, ``done`` the whole ``RagOutput``.

    ``thread`` continues a conversation; the graph must have been built with a checkpointer, and
    nobody else may run on the thread meanwhile. ``conversation`` is what was said before where no
    thread remembers it.

    Raises:
        TandemError: the question cannot be taken, or a backend it needs does not answer.
    """
    output: RagOutput | None = None
    config: RunnableConfig = {"configurable": {"thread_id": thread}} if thread else {}
    stream = graph.astream(
        _input(check_question(question), conversation),
        config,
        context=context,
        durability="exit" if thread else None,  # a run that breaks off is no turn
        stream_mode=["custom", "values"],
        output_keys=list(RagOutput.__annotations__),  # by default, values are the whole state
    )
    async with contextlib.aclosing(cast(AsyncGenerator[Any], stream)):  # left, it would run on
        async for mode, item in stream:
            if mode == "custom":
                yield cast(Event, item)
            else:
                output = cast(RagOutput, item)
    if output is None:
        raise RuntimeError("the graph ended without output")
    for citation in output["citations"]:
        yield Event(event="citation", data=citation)
    yield Event(event="done", data=output)


def _input(question: str, conversation: Sequence[Turn]) -> RagInput:
    if not conversation:
        return RagInput(question=question)
    messages: list[AnyMessage] = []
    for turn in conversation:
        messages += [HumanMessage(turn["question"]), AIMessage(turn["answer"])]
    return RagInput(messages=[*messages, HumanMessage(question)])
