"""Passages as points of a collection, in the payload layout of ``langchain_qdrant``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import models

from backends.vector_collection import DENSE, SPARSE
from errors import EmbeddingMismatch, StoreDamaged


@dataclass(frozen=True, slots=True)
class Point:
    """A passage as it is stored."""

    id: str
    """A UUID."""
    text: str
    metadata: dict[str, Any]
    """JSON values."""
    dense: list[float]
    sparse: SparseVector


def to_struct(point: Point) -> models.PointStruct:
    """As Qdrant takes it, in LangChain's layout; without words there is no sparse vector.

    Not validated again: ``require_vectors`` has looked at the numbers.
    """
    vectors: dict[str, Any] = {DENSE: point.dense}
    if point.sparse.indices:
        vectors[SPARSE] = models.SparseVector.model_construct(
            indices=point.sparse.indices, values=point.sparse.values
        )
    payload = {"page_content": point.text, "metadata": point.metadata}
    return models.PointStruct.model_construct(id=point.id, vector=vectors, payload=payload)


def to_vectors(stored: Any) -> tuple[list[float], SparseVector]:
    """The dense and the sparse vector of a stored point."""
    sparse = stored.get(SPARSE) or SparseVector(indices=[], values=[])
    return stored[DENSE], SparseVector(indices=sparse.indices, values=sparse.values)


def to_document(point: models.ScoredPoint) -> Document:
    """What was found, with its id, and its score in the metadata.

    Raises:
        StoreDamaged: there is no text; the engine takes lost payloads for empty ones.
    """
    payload = point.payload or {}
    if "page_content" not in payload:
        raise StoreDamaged(
            f"The passage {point.id} of the index has lost its text. Move the index away (`qdrant` "
            "in TANDEM_DATA_DIR), or name a new TANDEM_QDRANT__COLLECTION, and run `tandem index` "
            "again; your documents are not touched."
        )
    metadata = {**(payload.get("metadata") or {}), "score": point.score}
    return Document(id=str(point.id), page_content=payload["page_content"], metadata=metadata)


def require_vectors(points: Sequence[Point], dimension: int) -> None:
    """Refuse what would be stored wrongly or not at all.

    Raises:
        EmbeddingMismatch: a vector has another dimension, or holds NaN or infinity.
    """
    for point in points:
        if len(point.dense) != dimension:
            raise EmbeddingMismatch(
                f"The vector of {point.metadata.get('source', point.id)!r} has "
                f"{len(point.dense)} dimensions, the collection {dimension}. The embedding model "
                "has changed: restart Tandem and run `tandem reindex`."
            )
        sparse = point.sparse
        if len(sparse.indices) != len(sparse.values):
            raise EmbeddingMismatch(f"The sparse vector of {point.id!r} is uneven.")
        # A sum is finite only where all its parts are, and takes a fifth of the time of an array.
        if not math.isfinite(sum(point.dense) + sum(sparse.values)):
            raise EmbeddingMismatch(
                f"The vector of {point.metadata.get('source', point.id)!r} holds NaN or infinity. "
                "Nothing of this batch was stored; restart the embedding model and index again."
            )
