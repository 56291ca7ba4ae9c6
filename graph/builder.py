"""The graph, bound to its backends. Reads like the picture in the README."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from backends.accounting import NO_USAGE, accounting, added
from backends.connections import Backends
from backends.reader import Reader
from graph.context import RagContext, context_schema
from graph.freshness import Freshen, unknown_freshness
from graph.routing import route_after_grading, route_after_rewriting, route_at_start
from graph.state import ChatOutput, RagInput, RagState
from graph.step import Step
from nodes.generation import generate
from nodes.grading import grade_relevance
from nodes.reading import LanguageModelReader
from nodes.retrieval import PassageRetriever, retrieve
from nodes.rewriting import rewrite_query

Node = Callable[..., Awaitable[dict[str, Any]]]
"""Takes the state, the runtime and its ``step``; returns the keys that it changes."""
RagGraph = CompiledStateGraph[RagState, RagContext, RagInput, ChatOutput]

# retrieve, grade and rewrite for each of the at most six searches, and generate, with room to
# spare: the routing bounds the loop, this only stops a mistake in it.
RECURSION_LIMIT = 25


def build_graph(
    backends: Backends,
    freshness: Freshen = unknown_freshness,
    *,
    checkpointer: BaseCheckpointSaver[str] | None = None,
) -> RagGraph:
    """The state graph that answers every question, wherever it was asked.

    Run it with a ``RagContext``; what it returns is described by ``RagOutput``. ``freshness`` tells
    how far the index is behind the disk. With a ``checkpointer``, the runs of one ``thread_id`` are
    a conversation: take them in turn.
    """
    fallback = backends.extractive
    reader = language_model_reader(backends) or fallback
    retriever = PassageRetriever(store=backends.store)

    builder = StateGraph(
        RagState,
        input_schema=RagInput,
        output_schema=ChatOutput,
        context_schema=context_schema(backends.settings),
    )

    def add(name: str, node: Node, **bound: object) -> None:
        builder.add_node(name, _accounted(name, partial(node, **bound)))

    threshold = backends.settings.grading.threshold
    add("retrieve", retrieve, retriever=retriever, freshness=freshness)
    add("grade_relevance", grade_relevance, threshold=threshold, reader=reader, fallback=fallback)
    add("rewrite_query", rewrite_query, reader=reader, fallback=fallback)
    add("generate", generate, reader=reader, fallback=fallback)

    builder.add_conditional_edges(START, route_at_start, ["retrieve", "rewrite_query"])
    builder.add_edge("retrieve", "grade_relevance")
    builder.add_conditional_edges(
        "grade_relevance",
        route_after_grading,
        ["generate", "rewrite_query"],
    )
    builder.add_conditional_edges("rewrite_query", route_after_rewriting, ["retrieve", "generate"])
    builder.add_edge("generate", END)
    return builder.compile(name="rag", checkpointer=checkpointer).with_config(
        {"recursion_limit": RECURSION_LIMIT}
    )


def _accounted(name: str, node: Node) -> Node:
    """The node with what every one of them tells: when it begins and ends, and what it costs."""

    async def run(state: RagState, runtime: Runtime[RagContext]) -> dict[str, Any]:
        step = Step(name, runtime.stream_writer)
        step.start()
        with accounting() as account:
            update = await node(state, runtime, step=step)
        if "begun" in update:  # the first node of a run, whatever an earlier one has left
            begun, timings, usage, model = step.begun, dict[str, float](), NO_USAGE, None
        else:
            begun, timings = state["begun"], state["timings"]
            usage, model = state["usage"], state["model"]
        ms = timings.get(name, 0.0) + step.finish()
        return {
            "model": account.model or model,
            **update,
            "usage": added(usage, account.usage),
            "timings": {**timings, name: round(ms, 3), "total": step.since(begun)},
            "begun": begun,
        }

    return run


def language_model_reader(backends: Backends) -> Reader | None:
    """The reader on the server machine, where one is configured."""
    if backends.language_model is None:
        return None
    grading = backends.settings.grading
    return LanguageModelReader(
        backends.language_model,
        grading.strategy,
        backends.secret,
        speculate_from=grading.threshold if grading.speculate else None,
    )
