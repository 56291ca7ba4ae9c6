"""The vector store over Edge and over ``qdrant_client``'s local mode: one code path."""

import hashlib
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from pydantic import SecretStr
from qdrant_client import QdrantClient, models

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel
from backends.qdrant_edge.client import EdgeClient
from backends.search import Mode
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import Point, VectorStore
from errors import (
    EmbeddingMismatch,
    FingerprintMismatch,
    StoreDamaged,
    StoreLocked,
    VectorStoreUnavailable,
)
from settings import QdrantSettings, Settings
from tests.pace import paced

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]
NAME = "documents"
SUBJECTS = ["kernel", "database", "compiler", "network", "garden"]


class WordVectors(EmbeddingModel):
    """The mean of a random vector a word: real geometry, no model."""

    name = "words"
    max_tokens = 1000

    def __init__(self, dimension: int = 32, digest: str = "abc") -> None:
        self._fingerprint = EmbeddingFingerprint(self.name, digest, dimension, "|")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def fingerprint(self) -> EmbeddingFingerprint:
        return self._fingerprint

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vectors = [self._vector(word) for word in text.lower().split()] or [self._vector("")]
        mean: list[float] = np.mean(vectors, axis=0).tolist()
        return mean

    def _vector(self, word: str) -> Any:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=self._fingerprint.dimension)

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)

    async def _embed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aclose(self) -> None:
        pass


def points(count: int = 60) -> list[Point]:
    """Passages, each with its number and a subject, some of them without any word."""
    model, sparse = WordVectors(), Bm25Sparse()
    texts = [
        f"Passage number{n} speaks of the {SUBJECTS[n % 5]}" if n % 20 else "the — and"
        for n in range(count)
    ]
    return [
        Point(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{n}")),
            text=text,
            metadata=metadata(n),
            dense=model.embed_query(text),
            sparse=sparse.embed_documents([text])[0],
        )
        for n, text in enumerate(texts)
    ]


def metadata(n: int) -> dict[str, Any]:
    return {
        "tenant": "default",
        "source": f"docs/{n % 3}.md",
        "folders": ["docs"],
        "root": "docs",
        "content_hash": str(n),
    }


def over(client: Any, model: EmbeddingModel | None = None) -> VectorStore:
    return VectorStore(client, NAME, model or WordVectors(), Bm25Sparse(), place="here")


@pytest.fixture(params=["edge", "local"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorStore]:
    """A prepared store with 60 passages."""
    client = EdgeClient(tmp_path) if request.param == "edge" else QdrantClient(":memory:")
    opened = over(client)
    await opened.prepare()
    await opened.upsert(points())
    yield opened
    await opened.aclose()


async def test_hybrid_search_finds_words_and_neighbours(store: VectorStore) -> None:
    found = await store.search("number7 compiler", k=5)
    assert found[0].page_content == "Passage number7 speaks of the compiler"
    assert found[0].id == points()[7].id
    assert found[0].metadata["source"] == "docs/1.md"
    scores = [document.metadata["score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert len(found) == 5
    assert len({document.id for document in found}) == 5


async def test_each_mode_searches_its_own_way(store: VectorStore) -> None:
    sparse = await store.search("database", k=60, mode="sparse")
    assert {document.page_content.split()[-1] for document in sparse} == {"database"}
    assert len(await store.search("database", k=60, mode="dense")) == 60
    assert len(await store.search("database", k=60)) == 60


async def test_a_query_without_words_is_searched_by_its_vector_alone(store: VectorStore) -> None:
    assert await store.search("the of", k=3, mode="sparse") == []
    hybrid = await store.search("the — and", k=3)
    dense = await store.search("the — and", k=3, mode="dense")
    assert [document.id for document in hybrid] == [document.id for document in dense]
    assert hybrid[0].page_content == "the — and"


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
async def test_a_filter_holds_in_every_mode(store: VectorStore, mode: Any) -> None:
    match = models.MatchValue(value="docs/2.md")
    where = models.Filter(must=[models.FieldCondition(key="metadata.source", match=match)])
    found = await store.search("passage of the kernel", k=50, where=where, mode=mode)
    assert found
    assert {document.metadata["source"] for document in found} == {"docs/2.md"}


async def test_vectors_come_back_as_they_can_be_stored_again(store: VectorStore) -> None:
    stored = {point.id: point for point in points()}
    found = await store.vectors([*stored, str(uuid.UUID(int=5))])
    assert found.keys() == stored.keys()
    for name, (dense, sparse) in found.items():
        expected = np.asarray(stored[name].dense)
        assert dense == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
        assert dict(zip(sparse.indices, sparse.values, strict=True)) == pytest.approx(
            dict(zip(stored[name].sparse.indices, stored[name].sparse.values, strict=True))
        )


async def test_scrolling_gives_every_point_with_its_metadata(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.vector_store._READ_BATCH", 7)
    seen = [item async for item in store.scroll()]
    assert dict(seen) == {point.id: point.metadata for point in points()}
    assert len(seen) == await store.count() == 60


async def test_deleting_takes_only_the_points_named(store: VectorStore) -> None:
    gone = [point.id for point in points()[:25]]
    await store.delete([*gone, str(uuid.UUID(int=9))])
    await store.delete([])
    assert await store.adelete([points()[30].id])
    assert await store.count() == 34
    assert await store.vectors(gone) == {}


async def test_storing_again_changes_nothing(store: VectorStore) -> None:
    await store.upsert(points())
    await store.upsert([])
    assert await store.count() == 60


async def test_a_langchain_retriever_reads_it(store: VectorStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 3})
    found = await retriever.ainvoke("number8 network")
    assert found[0].page_content.startswith("Passage number8")
    assert found[0].id == points()[8].id


@pytest.mark.parametrize("mode", list(RetrievalMode))
async def test_a_stock_langchain_store_reads_it(store: VectorStore, mode: RetrievalMode) -> None:
    stock = QdrantVectorStore(
        client=store.client,
        collection_name=NAME,
        embedding=WordVectors(),
        sparse_embedding=Bm25Sparse(),
        vector_name="dense",
        sparse_vector_name="bm25",
        retrieval_mode=mode,
    )
    [found, *_] = stock.similarity_search("Passage number8 speaks of the network", k=3)
    assert found.page_content.startswith("Passage number8")
    assert found.metadata["source"] == "docs/2.md"
    stock.add_texts(
        ["Passage on bees"], metadatas=[{**metadata(1), "source": "x"}], ids=[str(uuid.uuid4())]
    )
    way: Mode = "sparse" if mode is RetrievalMode.SPARSE else "dense"
    assert (await store.search("Passage on bees", k=1, mode=way))[0].metadata["source"] == "x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dense: dense[:-1], "31 dimensions, the collection 32"),
        (lambda dense: [float("nan"), *dense[1:]], "NaN or infinity"),
        (lambda dense: [float("inf"), *dense[1:]], "NaN or infinity"),
        (lambda _: [], "0 dimensions"),
    ],
)
async def test_a_vector_that_cannot_be_used_stores_nothing(
    store: VectorStore, change: Callable[[list[float]], list[float]], said: str
) -> None:
    good, bad = points(62)[60:]
    spoiled = Point(bad.id, bad.text, bad.metadata, change(bad.dense), bad.sparse)
    with pytest.raises(EmbeddingMismatch, match=said):
        await store.upsert([good, spoiled])
    assert await store.count() == 60


async def test_another_model_is_refused_and_the_remedy_named(store: VectorStore) -> None:
    await over(store.client).prepare()
    await over(store.client, WordVectors(digest="")).prepare()  # digest unknown: no objection
    for model in (WordVectors(dimension=48), WordVectors(digest="other")):
        with pytest.raises(FingerprintMismatch, match="tandem reindex"):
            await over(store.client, model).prepare()
    assert await store.count() == 60


async def test_a_foreign_collection_is_refused_and_left_alone(store: VectorStore) -> None:
    vectors = {"dense": models.VectorParams(size=32, distance=models.Distance.COSINE)}
    sparse = {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    store.client.create_collection("foreign", vectors, sparse)
    foreign = VectorStore(store.client, "foreign", WordVectors(), Bm25Sparse(), place="here")
    with pytest.raises(FingerprintMismatch, match="TANDEM_QDRANT__COLLECTION"):
        await foreign.prepare()
    assert store.client.collection_exists("foreign")


def _settings(folder: Path, **qdrant: Any) -> Settings:
    return Settings(data_dir=folder, qdrant=QdrantSettings(**qdrant))


async def test_the_embedded_store_opens_in_the_data_folder(tmp_path: Path) -> None:
    store = open_vector_store(_settings(tmp_path), WordVectors())
    assert not (tmp_path / "qdrant").exists()
    await store.prepare()
    await store.upsert(points())
    with pytest.raises(StoreLocked):
        open_vector_store(_settings(tmp_path), WordVectors())
    await store.aclose()
    store = open_vector_store(_settings(tmp_path), WordVectors())
    assert await store.count() == 60
    await store.aclose()
    (tmp_path / "qdrant" / f"{NAME}-1" / "collection.json").unlink()
    with pytest.raises(StoreDamaged, match=str(tmp_path)):
        open_vector_store(_settings(tmp_path), WordVectors())


async def test_optimising_keeps_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.vector_store.OPTIMIZE_FROM_POINTS", 50)
    store = over(EdgeClient(tmp_path))
    await store.prepare()
    await store.upsert(points(400))
    before = await store.search("number300 kernel", k=10, mode="dense")
    await store.optimize()
    after = await store.search("number300 kernel", k=10, mode="dense")
    assert [document.id for document in before] == [document.id for document in after]
    assert await store.count() == 400
    await store.aclose()


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
async def test_a_server_that_refuses_is_named_without_its_key(
    tmp_path: Path, free_port: int, grpc: bool
) -> None:
    url = f"http://user:pw@127.0.0.1:{free_port}"
    settings = _settings(
        tmp_path, url=url, api_key=SecretStr("the-key"), prefer_grpc=grpc, timeout_s=2
    )
    store = open_vector_store(settings, WordVectors())
    with pytest.raises(VectorStoreUnavailable, match="does not answer") as caught:
        await store.prepare()
    assert f"http://127.0.0.1:{free_port}" in str(caught.value)
    assert "the-key" not in str(caught.value)
    assert "pw" not in str(caught.value)
    await store.aclose()


async def test_a_server_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = open_vector_store(_settings(tmp_path, url=url, timeout_s=1), WordVectors())
        async with paced() as pace:
            with pytest.raises(VectorStoreUnavailable, match="TANDEM_QDRANT__TIMEOUT_S"):
                await store.count()
        assert pace.seconds < 5
        await store.aclose()
