"""What is asked of Qdrant in a search: who may see what, and how two rankings become one."""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import models

from backends.filters import SearchFilters
from backends.vector_collection import DENSE, SPARSE

Mode = Literal["hybrid", "dense", "sparse"]
Found = tuple[Document, float]
"""A passage with its score."""

FUSION = models.FusionQuery(fusion=models.Fusion.DBSF)
"""How the two arms of a hybrid search become one ranking: each arm's scores are spread over their
mean plus and minus three standard deviations, then added (distribution-based score fusion). What
else was measured is in docs/retrieval.md."""
_LEAST_PREFETCH = 100
"""Passages of each arm: the distribution of fewer scores says little about how good the best are,
and a passage good in both arms should beat one at the top of a single arm."""


def search_filter(
    tenant: str, filters: SearchFilters | None = None, where: models.Filter | None = None
) -> models.Filter:
    """The filter of a search. That of the tenant is always in it, whatever else is asked for."""
    must: list[models.Condition] = [_is_any("tenant", [tenant])]
    if where is not None:
        must.append(where)
    filters = filters or SearchFilters()
    if filters.source is not None:
        must.append(_is_any("source", filters.source))
    if filters.path is not None:
        either = [_is_any("folders", filters.path), _is_any("source", filters.path)]
        must.append(models.Filter(should=either))
    if filters.type is not None:
        must.append(_is_any("type", filters.type))
    if filters.since is not None:
        earliest = models.Range(gte=filters.since.timestamp())
        must.append(models.FieldCondition(key="metadata.modified_at", range=earliest))
    return models.Filter(must=must)


def _is_any(field: str, values: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=f"metadata.{field}", match=models.MatchAny(any=list(values)))


def search_request(
    dense: list[float] | None,
    sparse: SparseVector | None,
    *,
    k: int,
    where: models.Filter,
    fusion: models.FusionQuery | models.RrfQuery = FUSION,
    params: models.SearchParams | None = None,
) -> dict[str, Any] | None:
    """The arguments of ``query_points``; None when there is nothing to search with."""
    arms: list[dict[str, Any]] = []
    if dense is not None:
        arms.append({"query": dense, "using": DENSE})
    if sparse is not None and sparse.indices:  # a query without words has no sparse arm
        vector = models.SparseVector(indices=sparse.indices, values=sparse.values)
        arms.append({"query": vector, "using": SPARSE})
    if not arms:
        return None
    if len(arms) == 1:
        return {**arms[0], "limit": k, "query_filter": where, "search_params": params}
    limit = max(2 * k, _LEAST_PREFETCH)
    prefetch = [models.Prefetch(**arm, limit=limit, filter=where, params=params) for arm in arms]
    return {"prefetch": prefetch, "query": fusion, "limit": k}


class TenantSearches(QdrantVectorStore):
    """LangChain's own searches, kept within a tenant as ours are; all others call these three."""

    tenant: str

    def similarity_search_with_score(self, *args: Any, **kwargs: Any) -> list[Found]:
        return super().similarity_search_with_score(*args, **self._within(kwargs))

    def similarity_search_with_score_by_vector(self, *args: Any, **kwargs: Any) -> list[Found]:
        return super().similarity_search_with_score_by_vector(*args, **self._within(kwargs))

    def max_marginal_relevance_search_with_score_by_vector(
        self, *args: Any, **kwargs: Any
    ) -> list[Found]:
        return super().max_marginal_relevance_search_with_score_by_vector(
            *args, **self._within(kwargs)
        )

    def _within(self, knobs: dict[str, Any]) -> dict[str, Any]:
        """The knobs with the tenant in their filter; given by place, a filter is an error."""
        return {**knobs, "filter": search_filter(self.tenant, where=knobs.get("filter"))}
