"""The graph, bound to its backends. Reads like the picture in the README."""

from functools import partial

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from backends.connections import Backends
from backends.reader import Reader
from graph.context import RagContext, context_schema
from graph.freshness import Freshen, unknown_freshness
from graph.routing import route_after_grading, route_after_rewriting, route_at_start
from graph.state import RagInput, RagOutput, RagState
from nodes.generation import generate
from nodes.grading import grade_relevance
from nodes.reading import LanguageModelReader
from nodes.retrieval import PassageRetriever, retrieve
from nodes.rewriting import rewrite_query

RagGraph = CompiledStateGraph[RagState, RagContext, RagInput, RagOutput]

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
        output_schema=RagOutput,
        context_schema=context_schema(backends.settings),
    )
    builder.add_node("retrieve", partial(retrieve, retriever=retriever, freshness=freshness))
    builder.add_node(
        "grade_relevance",
        partial(
            grade_relevance,
            reader=reader,
            fallback=fallback,
            threshold=backends.settings.grading.threshold,
        ),
    )
    builder.add_node("rewrite_query", partial(rewrite_query, reader=reader, fallback=fallback))
    builder.add_node("generate", partial(generate, reader=reader, fallback=fallback))

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


def language_model_reader(backends: Backends) -> Reader | None:
    """The reader on the server machine, where one is configured."""
    if backends.language_model is None:
        return None
    strategy = backends.settings.grading.strategy
    return LanguageModelReader(backends.language_model, strategy, backends.secret)
