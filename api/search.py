"""``/search`` and ``/passages``: what is retrieved, without an answer made from it."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from langchain_core.documents import Document
from pydantic import Field

from api.answering import Answering
from api.http.bodies import Body
from api.security import Caller, asks, requires
from backends.filters import SearchFilters
from backends.lookup import MOST_PASSAGES, passage_of, passages_along
from backends.vector_store import VectorStore
from errors import EmbeddingsUnavailable, FingerprintMismatch, NotFound
from graph.question import MAX_QUESTION_CHARS, check_question
from nodes.retrieval import PassageRetriever, as_passage

MOST_AROUND = 50
"""Passages before one, and after it."""


class SearchRequest(Body):
    """What to search for."""

    query: str = Field(max_length=4 * MAX_QUESTION_CHARS)
    k: int | None = Field(None, ge=1, le=50, description="How many passages; else as in settings.")
    filters: SearchFilters | None = None


def search_router(service: Answering) -> APIRouter:
    """The router of ``/search`` and ``/passages``."""
    router = APIRouter(tags=["search"])
    reading, searching = Depends(requires(service, "read")), Depends(asks(service, "read"))

    @router.post("/search")
    async def search(
        request: SearchRequest, caller: Annotated[Caller, searching]
    ) -> dict[str, Any]:
        """The best passages for a query, best first, and how fresh the index is."""
        return await search_passages(
            service, caller.tenant, request.query, k=request.k, filters=request.filters
        )

    @router.get("/passages")
    async def document(
        source: Annotated[str, Query(min_length=1, max_length=4_000)],
        caller: Annotated[Caller, reading],
        start: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_PASSAGES - 1)] = 50,
    ) -> dict[str, Any]:
        """A document's passages in its order; ``next`` is where to start for those after them."""
        return await document_passages(service, caller.tenant, source, start=start, limit=limit)

    @router.get("/passages/{passage_id}")
    async def passage(
        passage_id: UUID,
        caller: Annotated[Caller, reading],
        before: Annotated[int, Query(ge=0, le=MOST_AROUND)] = 0,
        after: Annotated[int, Query(ge=0, le=MOST_AROUND)] = 0,
    ) -> dict[str, Any]:
        """A passage by its id, with as many as wanted of those around it in its document."""
        return await passage_around(
            service, caller.tenant, str(passage_id), before=before, after=after
        )

    return router


async def search_passages(
    service: Answering,
    tenant: str,
    query: object,
    *,
    k: int | None = None,
    filters: SearchFilters | None = None,
) -> dict[str, Any]:
    """What a run would retrieve at first: ``passages``, ``notice`` and ``index``.

    Raises:
        TandemError: the query cannot be taken, or the store does not answer.
    """
    text = check_question(query)
    retriever = PassageRetriever(store=_store(service, tenant))
    search = partial(retriever.ainvoke, k=k or service.settings.top_k, filters=filters)
    index = await service.freshness_for(tenant)
    notice = ""
    try:
        found = await search(text)
    except (EmbeddingsUnavailable, FingerprintMismatch) as exc:
        found = await search(text, mode="sparse")
        notice = f"Searched by keywords alone: {exc}"
    return {"passages": [_shown(document) for document in found], "notice": notice, "index": index}


async def passage_around(
    service: Answering, tenant: str, passage_id: str, *, before: int = 0, after: int = 0
) -> dict[str, Any]:
    """The ``passage`` of an id, and those ``before`` and ``after`` it in its document.

    Raises:
        NotFound: the tenant has no such passage.
    """
    store = _store(service, tenant)
    document = await passage_of(store, passage_id)
    if document is None:
        raise NotFound(
            f"There is no passage {passage_id!r}: its document may have changed since it was "
            "found. Search again."
        )
    here = document.metadata.get("position", 0)
    around: list[Document] = []
    if before or after:
        first = max(0, here - before)
        around = await passages_along(
            store,
            document.metadata["source"],
            root=document.metadata.get("root"),
            start=first,
            limit=here - first + 1 + after,
        )
    return {
        "passage": _shown(document),
        "before": [_shown(other) for other in around if other.metadata["position"] < here],
        "after": [_shown(other) for other in around if other.metadata["position"] > here],
    }


async def document_passages(
    service: Answering, tenant: str, source: str, *, start: int = 0, limit: int = 50
) -> dict[str, Any]:
    """The ``passages`` of a document from one on, and the ``next`` after them or None.

    Raises:
        NotFound: the tenant has no such document, or none with so many passages.
    """
    found = await passages_along(_store(service, tenant), source, start=start, limit=limit + 1)
    if not found:
        place = f" from passage {start:,} on" if start else ""
        raise NotFound(
            f"The index holds nothing of {source!r}{place}. GET /documents lists the sources as "
            "they have to be written, such as docs/guide.md."
        )
    last = max(document.metadata["position"] for document in found)
    here = [document for document in found if document.metadata["position"] < start + limit]
    return {
        "source": source,
        "passages": [_shown(document) for document in here],
        "next": last if last == start + limit else None,
    }


def _store(service: Answering, tenant: str) -> VectorStore:
    return service.backends.store.for_tenant(tenant)


def _shown(document: Document) -> dict[str, Any]:
    """A passage, with its place among those of its document, from 0."""
    return {**as_passage(document), "position": document.metadata.get("position", 0)}
