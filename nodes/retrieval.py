"""``retrieve``: one search, dense and by keywords at once."""

import time
from typing import Any, Literal, Protocol

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime
from pydantic import ConfigDict, SkipValidation

from backends.reader import Passage
from backends.tracing import record_documents
from errors import EmbeddingsUnavailable, FingerprintMismatch
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagState

Mode = Literal["hybrid", "dense", "sparse"]


class Searchable(Protocol):
    """What a search needs of a vector store."""

    async def search(self, query: str, *, k: int, mode: Mode = "hybrid") -> list[Document]:
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
        mode: Mode = "hybrid",
    ) -> list[Document]:
        documents = await self.store.search(query, k=k, mode=mode)
        record_documents(run_manager.run_id, documents)
        return documents

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **knobs: object
    ) -> list[Document]:
        # LangChain hands the knobs on to either method only if this one takes them.
        raise NotImplementedError("Use ainvoke: Tandem is asynchronous throughout.")


async def retrieve(
    state: RagState, runtime: Runtime[RagContext], *, retriever: PassageRetriever
) -> dict[str, Any]:
    """Search for the query. Without embeddings that fit, by keywords alone, and say so."""
    question = check_question(state.get("question"))
    rewritten = state.get("query")
    query = rewritten or question
    begun = {} if rewritten else _beginning(runtime.context)
    run = {**state, **begun}
    degraded = list(run["degraded"])
    k = runtime.context.top_k
    try:
        documents = await retriever.ainvoke(query, k=k)
    except (EmbeddingsUnavailable, FingerprintMismatch) as exc:
        documents = await retriever.ainvoke(query, k=k, mode="sparse")
        degraded.append(f"Searched by keywords alone: {exc}")
    get_stream_writer()({"step": "retrieve", "query": query, "found": len(documents)})
    return {
        **begun,
        "question": question,
        "candidates": [as_passage(document) for document in documents],
        "queries": [*run["queries"], query],
        "degraded": degraded,
    }


def _beginning(context: RagContext) -> dict[str, Any]:
    """What a run starts with, whatever an earlier run on its thread has left."""
    return {
        "queries": [],
        "grades": {},
        "degraded": [],
        "language_model_down": False,
        "deadline": _deadline(context),
    }


def _deadline(context: RagContext) -> float | None:
    return None if context.deadline_s is None else time.monotonic() + context.deadline_s


def as_passage(document: Document) -> Passage:
    """A retrieved document as plain values."""
    metadata = document.metadata
    return Passage(
        id=str(document.id),
        text=document.page_content,
        source=metadata.get("source") or "unknown",  # what another program stored may lack it
        title=metadata.get("title", ""),
        heading=metadata.get("heading", ""),
        page=metadata.get("page"),
        start_line=metadata.get("start_line"),
        end_line=metadata.get("end_line"),
        score=float(metadata.get("score", 0.0)),
        relevance=None,
    )
