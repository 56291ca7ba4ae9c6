"""Several processes over one Qdrant server, for which ``qdrant_client``'s local mode stands."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from api.health import readiness
from api.reindex import Reindexing
from api.service import Service, open_service
from backends.collection_alias import previous_collection
from errors import FingerprintMismatch, UsageError
from settings import EmbeddingSettings, QdrantSettings, Settings
from tests.corpus import write_corpus
from tests.integration.test_reindex import ask, choose, contents
from tests.ollama_server import OllamaServer

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]


class SharedClient(QdrantClient):
    """Stays open when one of those who use it closes it."""

    def close(self, grpc_grace: float | None = None, **kwargs: object) -> None:
        """The test ends it."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    shared = SharedClient(":memory:", force_disable_check_same_thread=True)
    monkeypatch.setattr("backends.vector_places._connect", lambda _: shared)
    yield shared
    QdrantClient.close(shared)


@pytest.fixture
def old() -> Iterator[EmbeddingSettings]:
    with OllamaServer(model="mxbai-embed-large", dimension=16) as server:
        yield choose(server)


@pytest.fixture
def new() -> Iterator[EmbeddingSettings]:
    # the same dimension: only the fingerprint can tell the vectors apart
    with OllamaServer(model="nomic-embed-text", dimension=16) as server:
        yield choose(server)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "vardholm")


@contextlib.asynccontextmanager
async def process(data: Path, chosen: EmbeddingSettings) -> AsyncIterator[Service]:
    """What a process of its own would have open."""
    qdrant = QdrantSettings(url="http://127.0.0.1:6333")
    settings = Settings(data_dir=data, embeddings=chosen, qdrant=qdrant, _env_file=None)
    async with open_service(settings) as service:
        yield service


async def test_a_process_notices_that_another_has_flipped_the_alias(
    client: QdrantClient, corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with process(corpus.parent / "a", old) as one, process(corpus.parent / "a", new) as two:
        await one.indexing.run([corpus])
        assert await Reindexing(two).reindex(None) is not None
        assert client.count("documents-2").count == client.count("documents-1").count > 0

        # not noticed yet: its own collection, which fits its model, still answers
        assert one.backends.store.collection_name == "documents-1"
        assert "keywords" not in (await ask(one))["notice"]

        ready = await readiness(one)
        assert ready["ready"] is True
        assert one.backends.store.collection_name == "documents-2"
        assert "tandem reindex" in str(ready["backends"])
        assert "`tandem reindex`" in (await ask(one))["notice"]
        with pytest.raises(FingerprintMismatch):
            await one.indexing.run([corpus])

        assert await Reindexing(one).reindex(new) is None  # only its model had to change
        assert "keywords" not in (await ask(one))["notice"]
        report = await one.indexing.run([corpus])
        assert report.chunks_embedded == 0
        assert await contents(one) == await contents(two)


async def test_a_sync_after_a_flip_goes_into_the_index_that_is_live(
    client: QdrantClient, corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with process(corpus.parent / "a", old) as one, process(corpus.parent / "a", new) as two:
        await one.indexing.run([corpus])
        await Reindexing(two).reindex(None)
        await Reindexing(two).rollback(old)
        await Reindexing(two).prune()
        assert previous_collection(client, "documents") is None
        await Reindexing(two).reindex(new)
        # the numbers of removed collections are not given again
        assert {c.name for c in client.get_collections().collections} == {
            "documents-1",
            "documents-3",
        }
        await Reindexing(one).reindex(new)
        (corpus / "bell.md").write_text("The fog bell of Vardholm weighs 640 kilograms.\n")
        await one.indexing.run([corpus])
        found = await two.backends.store.search("fog bell", k=1, mode="sparse")
        assert found[0].metadata["source"] == "vardholm/bell.md"


async def test_a_stock_vector_store_reads_the_live_collection_through_the_alias(
    client: QdrantClient, corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with process(corpus.parent / "a", old) as service:
        await service.indexing.run([corpus])
        await Reindexing(service).reindex(new)
        model = service.backends.embeddings
        vector = await model.aembed_query("ferry")
        stock = QdrantVectorStore(
            client,
            "documents",
            embedding=model,
            vector_name="dense",
            validate_embeddings=False,
            validate_collection_config=False,
        )
        found = stock.similarity_search_by_vector(vector, k=3)
        ours = await service.backends.store.search("ferry", k=3, mode="dense")
        assert [d.page_content for d in found] == [d.page_content for d in ours]


async def test_a_collection_that_bears_the_configured_name_itself_is_used_and_not_replaced(
    client: QdrantClient, corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with process(corpus.parent / "a", old) as service:
        await service.indexing.run([corpus])
        info = client.get_collection("documents-1")
    client.delete_collection("documents-1")
    client.create_collection(
        "documents",
        vectors_config=info.config.params.vectors,
        sparse_vectors_config=info.config.params.sparse_vectors,
        metadata=info.config.metadata,
    )
    async with process(corpus.parent / "a", old) as service:
        await service.indexing.run([corpus])
        assert service.backends.store.collection_name == "documents"
        assert await service.backends.store.count() > 0
        with pytest.raises(UsageError, match=r"TANDEM_QDRANT__COLLECTION to a new name"):
            await Reindexing(service).reindex(new)
        assert [c.name for c in client.get_collections().collections] == ["documents"]


async def test_a_wiped_collection_is_made_anew_with_its_alias(
    client: QdrantClient, corpus: Path, old: EmbeddingSettings
) -> None:
    async with process(corpus.parent / "a", old) as service:
        await service.indexing.run([corpus])
        before = await contents(service)
        client.delete_collection("documents-1")
        await service.indexing.run([corpus])
        assert await contents(service) == before
        assert client.get_collection_aliases("documents-1").aliases[0].alias_name == "documents"
