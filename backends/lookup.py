"""Passages found by where they are instead of by what they say: by id, or along a document."""

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from qdrant_client import models

from backends.points import to_document
from backends.search import search_filter
from backends.vector_collection import Client
from backends.vector_store import VectorStore

MOST_PASSAGES = 200
"""Of one document in a look-up; a document may have many thousands."""
_SAME_NAME = 4
"""Folders of the same name that are provided for."""


async def passage_of(store: VectorStore, passage_id: str) -> Document | None:
    """The passage of an id; None where the store's tenant has none of it.

    Raises: as every call of the store.
    """
    found = await _visible(store, [models.HasIdCondition(has_id=[passage_id])], 1)
    return found[0] if found else None


async def passages_along(
    store: VectorStore,
    source: str,
    *,
    start: int = 0,
    limit: int = MOST_PASSAGES,
    root: str | None = None,
) -> list[Document]:
    """Passages of a document from the ``start``-th on (from 0), in its order.

    Where folders of the same name hold documents of the same source, each one's are returned, one
    document after the other; ``root`` is the folder of the one that is meant.

    Raises: as every call of the store.
    """
    limit = min(limit, MOST_PASSAGES)
    place: list[models.Condition] = [
        models.FieldCondition(
            key="metadata.position", range=models.Range(gte=start, lt=start + limit)
        )
    ]
    for field, value in (("source", source), ("root", root)):
        if value is not None:
            match = models.MatchValue(value=value)
            place.append(models.FieldCondition(key=f"metadata.{field}", match=match))
    found = await _visible(store, place, _SAME_NAME * limit)
    return sorted(found, key=_place)


async def count_of(store: VectorStore) -> int:
    """How many passages the store's tenant has.

    Raises: as every call of the store.
    """
    return await store.ask(_count, store.collection_name, search_filter(store.tenant))


def _count(client: Client, collection: str, where: models.Filter) -> int:
    return client.count(collection, count_filter=where, exact=True).count


def _place(document: Document) -> tuple[str, int]:
    return document.metadata.get("root", ""), document.metadata.get("position", 0)


async def _visible(
    store: VectorStore, conditions: Sequence[models.Condition], limit: int
) -> list[Document]:
    """What a search by the store's tenant could find now, and for which all conditions hold."""
    mine = search_filter(store.tenant, where=models.Filter(must=list(conditions)))
    with store.visibility.searching(mine) as visible:
        records = await store.ask(_scroll, store.collection_name, visible, limit)
    return [_as_document(record) for record in records]


def _scroll(
    client: Client, collection: str, where: models.Filter, limit: int
) -> list[models.Record]:
    return client.scroll(collection, scroll_filter=where, limit=limit, with_payload=True)[0]


def _as_document(record: Any) -> Document:
    point = models.ScoredPoint(id=record.id, version=0, score=0.0, payload=record.payload)
    return to_document(point)
