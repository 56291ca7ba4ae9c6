"""The embedded client against ``qdrant_client``'s own local mode: same calls, same answers.

The data is random and seeded. Scores are floats without ties in the dense arm; in the sparse and
the fused one ties are common and their order is nobody's promise, so there the scores are compared
in order and the points as sets, down to the last score, which the cut may split.
"""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from backends.qdrant_edge.client import EdgeClient

# The local mode says once that it searches exactly whatever is asked.
pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")

NAME = "passages"
DIMENSION = 12
POINTS = 300
VECTORS = {"dense": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)}
SPARSE = {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
Clients = tuple[EdgeClient, QdrantClient]


def _sparse(rng: np.random.Generator) -> models.SparseVector:
    indices = rng.choice(40, size=int(rng.integers(1, 8)), replace=False)
    return models.SparseVector(
        indices=indices.tolist(), values=rng.uniform(0.1, 3, len(indices)).tolist()
    )


def _payload(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Fields that are there, missing, null, empty, lists, nested and of every type."""
    payload: dict[str, Any] = {
        "number": number,
        "half": number / 2,
        "even": number % 2 == 0,
        "word": str(rng.choice(["red", "green", "blue", "dark blue"])),
        "text": " ".join(rng.choice(["Quick", "brown", "fox", "jumps", "über"], size=3)),
        "tags": rng.choice(["a", "b", "c", "d"], size=int(rng.integers(0, 4))).tolist(),
        "when": f"2024-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}T10:00:00Z",
        "metadata": {"source": f"docs/{number % 7}.md", "page": number % 5 or None},
        "parts": [
            {"kind": str(rng.choice(["x", "y"])), "size": int(rng.integers(0, 5))}
            for _ in range(int(rng.integers(0, 3)))
        ],
    }
    if number % 3 == 0:
        payload["rare"] = None if number % 2 else "here"
    return payload


def _points(seed: int, count: int = POINTS) -> list[models.PointStruct]:
    rng = np.random.default_rng(seed)
    points = []
    for number in range(count):
        vectors: dict[str, Any] = {"dense": rng.normal(size=DIMENSION).tolist()}
        if number % 10:
            vectors["bm25"] = _sparse(rng)
        name = number if number % 4 == 0 else str(uuid.UUID(bytes=rng.bytes(16)))
        points.append(models.PointStruct(id=name, vector=vectors, payload=_payload(rng, number)))
    return points


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Both clients with the same points, for reading."""
    with opened(tmp_path_factory.mktemp("shared")) as both:
        yield both


@pytest.fixture
def own_clients(tmp_path: Path) -> Iterator[Clients]:
    """Both clients with the same points, for writing."""
    with opened(tmp_path) as both:
        yield both


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Clients]:
    """Both clients with the same points."""
    edge, local = EdgeClient(folder / "qdrant"), QdrantClient(":memory:")
    for client in (edge, local):
        client.create_collection(
            NAME, vectors_config=VECTORS, sparse_vectors_config=SPARSE, metadata={"made": {"by": 1}}
        )
        client.upsert(NAME, _points(seed=1))
    yield edge, local
    edge.close()
    local.close()


def _same_ranking(edge: Any, local: Any, *, ties: bool) -> None:
    found, expected = edge.points, local.points
    assert [point.score for point in found] == pytest.approx(
        [point.score for point in expected], rel=1e-4, abs=1e-5
    )
    if not ties:
        assert [point.id for point in found] == [point.id for point in expected]
    elif found:
        last = found[-1].score + 1e-4
        assert {point.id for point in found if point.score > last} == {
            point.id for point in expected if point.score > last
        }
    payloads = {point.id: point.payload for point in expected}
    for point in found:
        if point.id in payloads:
            assert point.payload == payloads[point.id]


RANDOM = settings(max_examples=15, deadline=None, derandomize=True, database=None)
_F = models.FieldCondition
FILTERS: dict[str, models.Filter] = {
    name: models.Filter(must=condition)
    for name, condition in {
        "value": _F(key="word", match=models.MatchValue(value="dark blue")),
        "integer": _F(key="number", match=models.MatchValue(value=7)),
        "boolean": _F(key="even", match=models.MatchValue(value=True)),
        "in a list": _F(key="tags", match=models.MatchValue(value="a")),
        "in an object": _F(key="metadata.source", match=models.MatchValue(value="docs/3.md")),
        "any": _F(key="word", match=models.MatchAny(any=["red", "blue"])),
        "any integer": _F(key="number", match=models.MatchAny(any=[1, 2, 300])),
        "any of nothing": _F(key="word", match=models.MatchAny(any=[])),
        "except": _F(key="word", match=models.MatchExcept(**{"except": ["red"]})),
        "except, missing": _F(key="rare", match=models.MatchExcept(**{"except": ["there"]})),
        "text": _F(key="text", match=models.MatchText(text="fox quick")),
        "any text": _F(key="text", match=models.MatchTextAny(text_any="fox ÜBER")),
        "phrase": _F(key="text", match=models.MatchPhrase(phrase="brown fox")),
        "prefix": _F(key="word", match=models.MatchPrefix(prefix="d")),
        "substring": _F(key="word", match=models.MatchSubstring(substring="lu")),
        "range": _F(key="number", range=models.Range(gt=10, lte=20)),
        "float range": _F(key="half", range=models.Range(gte=10.5, lt=20)),
        "range on text": _F(key="word", range=models.Range(gte=0)),
        "dates": _F(key="when", range=models.DatetimeRange(gte="2024-03-01", lt="2024-06-05")),
        "moments": _F(key="when", range=models.DatetimeRange(gt="2024-05-05T12:00:00+02:00")),
        "empty": models.IsEmptyCondition(is_empty=models.PayloadField(key="tags")),
        "null": models.IsNullCondition(is_null=models.PayloadField(key="rare")),
        "empty, missing": _F(key="rare", is_empty=True),
        "not empty": _F(key="tags", is_empty=False),
        "null in an object": _F(key="metadata.page", is_null=True),
        "count": _F(key="tags", values_count=models.ValuesCount(gte=2)),
        "ids": models.HasIdCondition(has_id=[0, 4, 5, str(uuid.UUID(int=3))]),
        "vector": models.HasVectorCondition(has_vector="bm25"),
        "no such field": _F(key="nothing.here", match=models.MatchValue(value=1)),
        "nested": models.NestedCondition(
            nested=models.Nested(
                key="parts",
                filter=models.Filter(
                    must=[
                        _F(key="kind", match=models.MatchValue(value="x")),
                        _F(key="size", range=models.Range(gte=2)),
                    ]
                ),
            )
        ),
    }.items()
}
_red, _even, _low = FILTERS["value"].must, FILTERS["boolean"].must, FILTERS["range"].must
FILTERS |= {
    "nothing": models.Filter(),
    "no conditions": models.Filter(must=[], should=[], must_not=[]),
    "must and not": models.Filter(must=[_red], must_not=[_even]),
    "should": models.Filter(should=[_red, _low]),
    "single should": models.Filter(should=_red),
    "all four": models.Filter(
        must=[_even],
        should=[_red, FILTERS["in a list"].must],
        must_not=[_low],
        min_should=models.MinShould(
            conditions=[_red, FILTERS["empty"].must, FILTERS["nested"].must], min_count=1
        ),
    ),
    "two of three": models.Filter(
        min_should=models.MinShould(conditions=[_red, _even, _low], min_count=2)
    ),
    "filters in filters": models.Filter(
        must=[models.Filter(should=[_red, models.Filter(must_not=[_even])])]
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_select_the_same_points(clients: Clients, name: str) -> None:
    edge, local = clients
    pages = [
        client.scroll(NAME, scroll_filter=FILTERS[name], limit=POINTS)[0] for client in clients
    ]
    assert {record.id for record in pages[0]} == {record.id for record in pages[1]}
    assert edge.count(NAME, count_filter=FILTERS[name]) == local.count(
        NAME, count_filter=FILTERS[name]
    )


def test_filters_select_the_same_points_with_payload_indexes(own_clients: Clients) -> None:
    edge, local = own_clients
    kinds = models.PayloadSchemaType
    for field, kind in {
        "word": kinds.KEYWORD,
        "tags": kinds.KEYWORD,
        "rare": kinds.KEYWORD,
        "metadata.source": kinds.KEYWORD,
        "number": kinds.INTEGER,
        "half": kinds.FLOAT,
        "even": kinds.BOOL,
        "when": kinds.DATETIME,
    }.items():
        edge.create_payload_index(NAME, field, kind)
    assert edge.get_collection(NAME).payload_schema["half"].data_type is kinds.FLOAT
    for name, condition in FILTERS.items():
        assert edge.count(NAME, condition) == local.count(NAME, condition), name


@RANDOM
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(FILTERS)), limit=st.integers(1, 40))
def test_dense_search_finds_the_same(clients: Clients, seed: int, name: str, limit: int) -> None:
    query = np.random.default_rng(seed).normal(size=DIMENSION).tolist()
    answers = [
        client.query_points(
            NAME,
            query=query,
            using="dense",
            query_filter=FILTERS[name],
            limit=limit,
            offset=seed % 3,
            score_threshold=0.1 if seed % 2 else None,
            search_params=models.SearchParams(exact=True) if seed % 5 else None,
        )
        for client in clients
    ]
    _same_ranking(*answers, ties=False)


@RANDOM
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(FILTERS)), limit=st.integers(1, 40))
def test_sparse_search_finds_the_same(clients: Clients, seed: int, name: str, limit: int) -> None:
    query = _sparse(np.random.default_rng(seed))
    answers = [
        client.query_points(
            NAME, query=query, using="bm25", query_filter=FILTERS[name], limit=limit
        )
        for client in clients
    ]
    _same_ranking(*answers, ties=True)


FUSIONS = [
    models.FusionQuery(fusion=models.Fusion.RRF),
    models.FusionQuery(fusion=models.Fusion.DBSF),
    models.RrfQuery(rrf=models.Rrf(k=60)),
    models.RrfQuery(rrf=models.Rrf(weights=[3.0, 1.0])),
]


@RANDOM
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(sorted(FILTERS)),
    fusion=st.sampled_from(FUSIONS),
    outside=st.booleans(),
)
def test_hybrid_search_finds_the_same(
    clients: Clients, seed: int, name: str, fusion: Any, outside: bool
) -> None:
    rng = np.random.default_rng(seed)
    arms = {"dense": rng.normal(size=DIMENSION).tolist(), "bm25": _sparse(rng)}
    where = FILTERS[name]
    prefetch = [
        models.Prefetch(query=query, using=using, limit=50, filter=None if outside else where)
        for using, query in arms.items()
    ]
    answers = [
        client.query_points(
            NAME,
            prefetch=prefetch,
            query=fusion,
            query_filter=where if outside else None,
            limit=15,
        )
        for client in clients
    ]
    _same_ranking(*answers, ties=True)


def test_maximal_marginal_relevance_finds_the_same(clients: Clients) -> None:
    vector = np.random.default_rng(5).normal(size=DIMENSION).tolist()
    query = models.NearestQuery(nearest=vector, mmr=models.Mmr(diversity=0.3, candidates_limit=40))
    found, expected = (
        client.query_points(NAME, query=query, using="dense", limit=8) for client in clients
    )
    assert [point.id for point in found.points] == [point.id for point in expected.points]


@pytest.mark.parametrize(
    "selector",
    [
        True,
        False,
        ["word", "metadata.source"],
        models.PayloadSelectorInclude(include=["metadata"]),
        models.PayloadSelectorExclude(exclude=["parts", "metadata.page"]),
    ],
    ids=str,
)
def test_retrieve_gives_the_same_payloads_and_vectors(clients: Clients, selector: Any) -> None:
    ids = [*(point.id for point in _points(seed=1)[:20]), str(uuid.UUID(int=1)), 999_999]
    for vectors in (True, False, ["bm25"]):
        found, expected = (
            {
                record.id: record
                for record in client.retrieve(
                    NAME, ids, with_payload=selector, with_vectors=vectors
                )
            }
            for client in clients
        )
        assert found.keys() == expected.keys()
        for name, record in found.items():
            assert (record.payload or {}) == (expected[name].payload or {})
            _same_vectors(record.vector, expected[name].vector)


def _same_vectors(found: Any, expected: Any) -> None:
    assert (found or {}).keys() == (expected or {}).keys()
    for name, vector in (found or {}).items():
        other = expected[name]
        if isinstance(vector, models.SparseVector):
            found_by_index = dict(zip(vector.indices, vector.values, strict=True))
            assert found_by_index == pytest.approx(
                dict(zip(other.indices, other.values, strict=True)), rel=1e-5
            )
        else:
            assert vector == pytest.approx(other, abs=1e-6)


def test_scrolling_page_by_page_gives_every_point_once(clients: Clients) -> None:
    seen: list[list[Any]] = []
    for client in clients:
        ids: list[Any] = []
        offset = None
        while True:
            records, offset = client.scroll(NAME, limit=37, offset=offset)
            ids += [record.id for record in records]
            if offset is None:
                break
        seen.append(ids)
    assert len(seen[0]) == len(set(seen[0])) == POINTS
    assert set(seen[0]) == set(seen[1])


def test_a_collection_says_the_same_about_itself(clients: Clients) -> None:
    found, expected = (client.get_collection(NAME) for client in clients)
    assert found.config.metadata == expected.config.metadata == {"made": {"by": 1}}
    assert found.config.params.vectors == expected.config.params.vectors
    assert found.config.params.sparse_vectors == expected.config.params.sparse_vectors
    assert found.points_count == expected.points_count == POINTS


def test_the_same_changes_lead_to_the_same_points(own_clients: Clients) -> None:
    ids = [point.id for point in _points(seed=1)]
    for client in own_clients:
        client.upsert(NAME, _points(seed=1)[:40])
        client.upsert(NAME, [*_points(seed=2)[:30], *_points(seed=3)[30:60]])
        client.delete(NAME, ids[60:80])
        client.delete(NAME, models.PointIdsList(points=[ids[81], str(uuid.UUID(int=7))]))
        client.delete(NAME, FILTERS["range"])
        client.delete(NAME, models.FilterSelector(filter=FILTERS["phrase"]))
        client.set_payload(NAME, {"seen": True, "word": "new"}, ids[100:110])
        client.set_payload(NAME, {"page": 99}, ids[110:120], key="metadata")
        client.set_payload(NAME, {"found": 1}, FILTERS["value"])
        client.update_collection(NAME, metadata={"made": {"by": 2}, "more": None})
    found, expected = (
        {record.id: record for record in client.scroll(NAME, limit=1000, with_vectors=True)[0]}
        for client in own_clients
    )
    assert found.keys() == expected.keys()
    for name, record in found.items():
        assert record.payload == expected[name].payload
        _same_vectors(record.vector, expected[name].vector)
    metadata = [client.get_collection(NAME).config.metadata for client in own_clients]
    assert metadata[0] == metadata[1]
    # No sparse search: the engine's document frequencies count deleted points until it optimises.
    query = np.random.default_rng(9).normal(size=DIMENSION).tolist()
    answers = [
        client.query_points(NAME, query=query, using="dense", limit=20) for client in own_clients
    ]
    _same_ranking(*answers, ties=False)


def test_collections_come_and_go(own_clients: Clients) -> None:
    for client in own_clients:
        assert client.collection_exists(NAME)
        assert client.delete_collection(NAME)
        assert not client.collection_exists(NAME)
        assert not client.delete_collection(NAME)
        client.create_collection(NAME, vectors_config=VECTORS, sparse_vectors_config=SPARSE)
        assert client.count(NAME).count == 0
        assert client.query_points(NAME, query=[1.0] * DIMENSION, using="dense").points == []
