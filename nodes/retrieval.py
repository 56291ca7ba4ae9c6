"""``retrieve``: searches for the question and its parts, dense and by keywords at once."""

from collections.abc import Sequence
from typing import Any, Protocol

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langgraph.runtime import Runtime
from pydantic import ConfigDict, SkipValidation

from backends.chat.requests import all_of
from backends.extractive.parts import parts
from backends.filters import SearchFilters
from backends.queries import untried
from backends.reader import Passage
from backends.recording import record_documents
from backends.search import Mode
from errors import EmbeddingsUnavailable, FingerprintMismatch
from graph.context import RagContext
from graph.freshness import Freshen
from graph.state import RagState
from graph.step import Step
from nodes.beginning import beginning, question_of
from nodes.passages import distinct, in_turn

_OVER_FETCH = 2
"""Passages fetched for each one wanted, so that enough remain without the repeated ones."""

_EXCERPT = 200
"""Characters of each passage in the step's event."""


class Searchable(Protocol):
    """What a search needs of a vector store."""

    async def search(
        self, query: str, *, k: int, filters: SearchFilters | None = None, mode: Mode = "hybrid"
    ) -> list[Document]:
        """At most ``k`` documents, best first, with ``id`` and ``metadata["score"]``."""
        ...


class PassageRetriever(BaseRetriever):
    """The vector store as a LangChain retriever, so that a search is a RETRIEVER span."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: SkipValidation[Searchable]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int = 6,
        filters: SearchFilters | None = None,
        mode: Mode = "hybrid",
    ) -> list[Document]:
        found = await self.store.search(query, k=_OVER_FETCH * k, filters=filters, mode=mode)
        documents = distinct(found)[:k]
        record_documents(run_manager.run_id, documents)
        return documents

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **knobs: object
    ) -> list[Document]:
        # LangChain hands the knobs on to either method only if this one takes them.
        raise NotImplementedError("Use ainvoke: Tandem is asynchronous throughout.")


async def retrieve(
    state: RagState,
    runtime: Runtime[RagContext],
    *,
    retriever: PassageRetriever,
    freshness: Freshen,
    step: Step,
) -> dict[str, Any]:
    """Search for everything there is to search for, at once.

    Without embeddings that fit, by keywords alone, and say so.
    """
    question, _ = question_of(state)
    rewritten = state.get("searches")
    begun = {} if rewritten else beginning(runtime.context, question)
    run = {**state, **begun}
    degraded = list(run["degraded"])
    queries = rewritten if rewritten and run["queries"] else with_parts(run["asked"])
    index = await freshness()  # before the search: what it could not find yet is not hidden
    try:
        found = await _search(retriever, queries, runtime.context)
    except (EmbeddingsUnavailable, FingerprintMismatch) as exc:
        found = await _search(retriever, queries, runtime.context, mode="sparse")
        degraded.append(f"Searched by keywords alone: {exc}")
    candidates = [as_passage(document) for document in found]
    step.report(queries=queries, found=len(candidates), passages=list(map(_told, candidates)))
    return {
        **begun,
        "question": question,
        "candidates": candidates,
        "queries": [*run["queries"], *queries],
        "degraded": degraded,
        "index": index,
    }


def with_parts(question: str) -> list[str]:
    """The question and, where it asks several things, each of them."""
    return untried([question, *(part.alone for part in parts(question))], [])


async def _search(
    retriever: PassageRetriever,
    queries: Sequence[str],
    context: RagContext,
    mode: Mode = "hybrid",
) -> list[Document]:
    """The passages of all searches, each search's best first.

    Every further search makes room for half as many passages again: each costs a grade, and what
    several searches look for is found among their best.
    """
    k = context.top_k
    rankings = await all_of(
        retriever.ainvoke(query, k=k, filters=context.filters, mode=mode) for query in queries
    )
    if len(rankings) == 1:  # as nearly always: it is free of repetitions
        return rankings[0]
    return distinct(in_turn(rankings))[: k + k // 2 * (len(queries) - 1)]


def _told(passage: Passage) -> dict[str, Any]:
    """A passage in the step's event: where it stands and how it begins."""
    where = ("id", "source", "title", "heading", "page", "start_line", "end_line", "score")
    begins = " ".join(passage["text"][: 2 * _EXCERPT].split())[:_EXCERPT].rstrip()
    return {**{name: value for name, value in passage.items() if name in where}, "excerpt": begins}


def as_passage(document: Document) -> Passage:
    """A retrieved document as plain values."""
    metadata = document.metadata
    return Passage(
        id=str(document.id),
        text=document.page_content,
        source=metadata.get("source") or "unknown",  # what another program stored may lack it
        also_in=metadata.get("also_in", []),
        title=metadata.get("title", ""),
        heading=metadata.get("heading", ""),
        page=metadata.get("page"),
        start_line=metadata.get("start_line"),
        end_line=metadata.get("end_line"),
        score=float(metadata.get("score", 0.0)),
        relevance=None,
    )
