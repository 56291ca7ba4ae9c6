"""Points, queries and results: ``qdrant_client`` models as ``qdrant_edge`` objects, and back.

Whatever has no equal on the other side is refused by name, never left out.
"""

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from backends.qdrant_edge.errors import refuse_given, to_id, unsupported
from backends.qdrant_edge.filters import to_filter


def to_query(source: Any, using: str | None) -> Any:
    """A query: a dense or sparse vector, a fusion of prefetches, maximal marginal relevance."""
    match source:
        case None:
            return None
        case models.FusionQuery(fusion=models.Fusion.RRF):
            return edge.Fusion.Rrf(_RRF_K)
        case models.FusionQuery(fusion=models.Fusion.DBSF):
            return edge.Fusion.Dbsf()
        case models.RrfQuery(rrf=rrf):
            return edge.Fusion.Rrf(_RRF_K if rrf.k is None else rrf.k, rrf.weights)
        case models.NearestQuery(nearest=nearest, mmr=None):
            return to_query(nearest, using)
        case models.NearestQuery(nearest=nearest, mmr=mmr) if mmr is not None:
            diversity = 0.5 if mmr.diversity is None else mmr.diversity
            limit = 100 if mmr.candidates_limit is None else mmr.candidates_limit
            return edge.Mmr(to_vector(nearest), 1.0 - diversity, limit, using)
        case models.SparseVector() | list():
            return edge.Query.Nearest(to_vector(source), using)
    if hasattr(source, "tolist"):  # a numpy array
        return to_query(source.tolist(), using)
    raise unsupported(f"the query {type(source).__name__}")


_RRF_K = 2
"""The server's default."""


def to_prefetches(source: models.Prefetch | list[models.Prefetch] | None) -> list[edge.Prefetch]:
    """The searches whose results a query fuses or searches again."""
    if source is None:
        return []
    return [_prefetch(item) for item in (source if isinstance(source, list) else [source])]


def _prefetch(source: models.Prefetch) -> edge.Prefetch:
    refuse_given("a prefetch", lookup_from=source.lookup_from)
    return edge.Prefetch(
        limit=10 if source.limit is None else source.limit,
        query=to_query(source.query, source.using),
        prefetches=to_prefetches(source.prefetch),
        params=to_params(source.params),
        filter=to_filter(source.filter),
        score_threshold=source.score_threshold,
    )


def to_params(source: models.SearchParams | None) -> edge.SearchParams | None:
    """How to search: ``hnsw_ef``, ``exact``, ``indexed_only``."""
    if source is None:
        return None
    refuse_given(
        "the search parameters",
        quantization=source.quantization,
        acorn=source.acorn,
        idf=source.idf,
    )
    return edge.SearchParams(
        hnsw_ef=source.hnsw_ef,
        exact=bool(source.exact),
        indexed_only=bool(source.indexed_only),
    )


def to_payload_selector(source: Any) -> Any:
    """Which payload keys come back."""
    match source:
        case models.PayloadSelectorInclude(include=keys):
            return edge.PayloadSelector.Include(keys)
        case models.PayloadSelectorExclude(exclude=keys):
            return edge.PayloadSelector.Exclude(keys)
    return source


def to_vector_selector(source: bool | Sequence[str]) -> bool | list[str]:
    """Which vectors come back."""
    return source if isinstance(source, bool) else list(source)


def to_selection(source: Any) -> tuple[list[Any], edge.Filter | None]:
    """Which points are meant: by ids, or by a filter."""
    match source:
        case models.Filter():
            return [], to_filter(source)
        case models.FilterSelector(filter=where, shard_key=None):
            return [], to_filter(where)
        case models.PointIdsList(points=ids, shard_key=None):
            return [to_id(id_) for id_ in ids], None
        case list() | tuple():
            return [to_id(id_) for id_ in source], None
    raise unsupported(f"the selection {type(source).__name__}")


def to_vector(source: Any) -> Any:
    """A dense vector as it is, a sparse one in the engine's class."""
    if isinstance(source, models.SparseVector):
        return edge.SparseVector(source.indices, source.values)
    return source


def to_point(source: models.PointStruct) -> edge.Point:
    """A point with named vectors."""
    if not isinstance(source.vector, dict):
        raise unsupported("points without named vectors")
    vectors = {name: to_vector(vector) for name, vector in source.vector.items()}
    return edge.Point(to_id(source.id), vectors, source.payload or {})


def from_id(source: Any) -> int | str:
    """As the client gives it: UUIDs are strings."""
    return source if isinstance(source, int) else str(source)


def from_vectors(source: Any) -> Any:
    """Named vectors, or None."""
    if source is None:
        return None
    return {
        name: models.SparseVector(indices=vector.indices, values=vector.values)
        if isinstance(vector, edge.SparseVector)
        else list(vector)
        for name, vector in source.items()
    }


def from_records(source: Sequence[edge.Record]) -> list[models.Record]:
    """Stored points."""
    return [
        models.Record(id=from_id(item.id), payload=item.payload, vector=from_vectors(item.vector))
        for item in source
    ]


def from_scored(source: Sequence[edge.ScoredPoint]) -> list[models.ScoredPoint]:
    """Points found."""
    return [
        models.ScoredPoint(
            id=from_id(item.id),
            version=item.version,
            score=item.score,
            payload=item.payload,
            vector=from_vectors(item.vector),
        )
        for item in source
    ]
