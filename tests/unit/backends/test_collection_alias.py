"""Which collection a name stands for, over ``qdrant_client``'s local mode."""

from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models

from backends.collection_alias import (
    flip_alias,
    live_collection,
    next_name,
    note_name,
    numbered,
    previous_collection,
    set_alias,
    shadows,
)
from backends.embeddings import EmbeddingFingerprint
from backends.vector_collection import is_made_with, made_with, note, prepare_collection
from errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
MODEL = EmbeddingFingerprint("words", "abc", 4, "|")


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    local = QdrantClient(":memory:")
    yield local
    local.close()


def make(client: QdrantClient, *names: str, index: str = "documents") -> None:
    for name in names:
        prepare_collection(client, name, MODEL, index=index)


def test_a_flip_makes_one_live_and_keeps_the_one_before(client: QdrantClient) -> None:
    make(client, "documents-1", "documents-2", "documents-3")
    set_alias(client, "documents", "documents-1")
    flip_alias(client, "documents", "documents-2")
    assert live_collection(client, "documents") == "documents-2"
    assert previous_collection(client, "documents") == "documents-1"
    assert shadows(client, "documents") == ["documents-3"]
    flip_alias(client, "documents", "documents-1")  # a rollback
    assert live_collection(client, "documents") == "documents-1"
    assert previous_collection(client, "documents") == "documents-2"


def test_without_an_alias_the_newest_is_live(client: QdrantClient) -> None:
    assert live_collection(client, "documents") is None
    make(client, "documents-9", "documents-10")
    assert live_collection(client, "documents") == "documents-10"


def test_what_others_have_made_is_never_ours(client: QdrantClient) -> None:
    vectors = {"dense": models.VectorParams(size=2, distance=models.Distance.COSINE)}
    client.create_collection("documents-1", vectors_config=vectors)
    make(client, "documents-2", index="documents-2")
    make(client, "documents-3")
    assert numbered(client, "documents") == ["documents-3"]
    assert next_name(client, "documents") == "documents-4"
    client.delete_collection("documents-3")
    assert next_name(client, "documents") == "documents-3"


def test_a_number_that_was_given_away_is_not_given_again(client: QdrantClient) -> None:
    make(client, "documents-1")
    set_alias(client, "documents", "documents-1")
    note_name(client, "documents", next_name(client, "documents"))
    assert next_name(client, "documents") == "documents-3"


def test_a_kept_collection_that_is_gone_is_nothing_to_go_back_to(client: QdrantClient) -> None:
    make(client, "documents-1", "documents-2")
    set_alias(client, "documents", "documents-1")
    flip_alias(client, "documents", "documents-2")
    client.delete_collection("documents-1")
    assert previous_collection(client, "documents") is None


def test_a_collection_with_the_name_itself_is_live_and_cannot_be_replaced(
    client: QdrantClient,
) -> None:
    make(client, "documents", "documents-1")
    assert live_collection(client, "documents") == "documents"
    with pytest.raises(UsageError, match="TANDEM_QDRANT__COLLECTION to a new name"):
        flip_alias(client, "documents", "documents-1")


def test_another_chunker_is_no_other_model(client: QdrantClient) -> None:
    make(client, "documents-1")
    note(client, "documents-1", chunker="7/256")
    stored = made_with(client, "documents-1")
    assert stored == {**MODEL.as_dict(), "chunker": "7/256", "index": "documents"}
    assert is_made_with(stored, MODEL)
    assert not is_made_with(stored, MODEL._replace(model="other"))
    assert not is_made_with({"chunker": "7/256", "index": "documents"}, MODEL)
