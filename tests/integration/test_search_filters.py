"""Filters and tenants over Edge and over ``qdrant_client``'s local mode: the same is found."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from backends.filters import SearchFilters
from backends.qdrant_edge.client import EdgeClient
from backends.search import search_filter
from backends.sparse import Bm25Sparse
from backends.vector_store import Point, VectorStore
from indexer.points import folders
from tests.integration.test_vector_store import WordVectors

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]
SOURCES = ["docs/a.md", "docs/guide/a.md", "docs/guide/deep/b.pdf", "docs/guides.md", "notes/a.md"]
TENANTS = ["default", "acme", "acm"]
START = datetime(2026, 3, 1, tzinfo=UTC)
POINTS = [
    {
        "tenant": tenant,
        "source": source,
        "folders": folders(source),
        "type": "pdf" if source.endswith("pdf") else "markdown",
        "modified_at": START.timestamp() + day * 86_400,
    }
    for tenant in TENANTS
    for source in SOURCES
    for day in (-1, 0, 0.5, 2)
]

some = st.lists(st.sampled_from([*SOURCES, "docs", "docs/guide", "docs/gui", "a.md"]), min_size=1)
filters = st.builds(
    SearchFilters,
    source=st.none() | some,
    path=st.none() | some,
    type=st.none() | st.just(["PDF"]) | st.just("markdown"),
    since=st.none() | st.datetimes(datetime(2026, 2, 27), datetime(2026, 3, 4)),  # noqa: DTZ001 - UTC where none is given
)


def passes(metadata: dict[str, Any], tenant: str, wanted: SearchFilters) -> bool:
    """What a filter means, said in Python."""
    source = metadata["source"]
    return (
        metadata["tenant"] == tenant
        and (wanted.source is None or source in wanted.source)
        and (
            wanted.path is None or any(f"{source}/".startswith(f"{path}/") for path in wanted.path)
        )
        and (wanted.type is None or metadata["type"] in wanted.type)
        and (wanted.since is None or metadata["modified_at"] >= wanted.since.timestamp())
    )


async def _filled(client: Any, tenant: str) -> VectorStore:
    model, sparse = WordVectors(), Bm25Sparse()
    store = VectorStore(client, "documents", model, sparse, place="here", tenant=tenant)
    await store.prepare()
    await store.upsert(
        [
            Point(
                id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number}")),
                text=f"the lighthouse number{number}",
                metadata=metadata,
                dense=model.embed_query(f"lighthouse number{number}"),
                sparse=sparse.embed_documents([f"lighthouse number{number}"])[0],
            )
            for number, metadata in enumerate(POINTS)
        ]
    )
    return store


@pytest.fixture(scope="module", params=["edge", "local"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Either kind of client, holding the passages of three tenants."""
    folder: Path = tmp_path_factory.mktemp("qdrant")
    opened = EdgeClient(folder) if request.param == "edge" else QdrantClient(":memory:")
    asyncio.run(_filled(opened, "default"))
    yield opened
    opened.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tenant=st.sampled_from([*TENANTS, "nobody"]), wanted=filters)
def test_a_filter_finds_exactly_what_it_says(
    client: Any, tenant: str, wanted: SearchFilters
) -> None:
    where = search_filter(tenant, wanted)
    records, _ = client.scroll("documents", scroll_filter=where, limit=1000)
    found = sorted(str(record.payload["metadata"]) for record in records)
    assert found == sorted(str(point) for point in POINTS if passes(point, tenant, wanted))


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
async def test_no_search_finds_another_tenants_passages(client: Any, mode: Any) -> None:
    store = await _filled(client, "acme")
    claimed = models.FieldCondition(
        key="metadata.tenant", match=models.MatchAny(any=["acm", "default", "acme"])
    )
    for where in (None, models.Filter(must=[claimed]), models.Filter(should=[claimed])):
        found = await store.search("the lighthouse", k=100, where=where, mode=mode)
        assert len(found) == 20
        assert {document.metadata["tenant"] for document in found} == {"acme"}


async def test_langchains_own_searches_stay_within_the_tenant(client: Any) -> None:
    store = await _filled(client, "acme")
    vector = WordVectors().embed_query("lighthouse number3")
    retriever = store.as_retriever(search_kwargs={"k": 50})
    for found in (
        store.similarity_search("lighthouse", k=50),
        store.similarity_search_by_vector(vector, k=50),
        store.max_marginal_relevance_search("lighthouse", k=50, fetch_k=60),
        await store.asimilarity_search("lighthouse", k=50),
        await store.amax_marginal_relevance_search("lighthouse", k=50, fetch_k=60),
        await retriever.ainvoke("lighthouse"),
    ):
        assert len(found) == 20
        assert {document.metadata["tenant"] for document in found} == {"acme"}
