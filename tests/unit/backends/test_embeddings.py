import math
from pathlib import Path

import pytest
from pydantic import SecretStr

from backends.embeddings import (
    EmbeddingFingerprint,
    check_vectors,
    create_embeddings,
    weighted_mean,
)
from backends.minilm.model import MiniLM
from backends.remote_embeddings.models import facts_of
from backends.remote_embeddings.ollama import OllamaEmbeddings
from backends.remote_embeddings.openai import OpenAIEmbeddings
from errors import EmbeddingMismatch, SettingsError
from settings import EmbeddingSettings


def test_a_fingerprint_survives_being_stored() -> None:
    fingerprint = EmbeddingFingerprint("nomic-embed-text", "0a10", 768, "a|b")
    assert EmbeddingFingerprint.from_dict(fingerprint.as_dict()) == fingerprint


def test_a_fingerprint_with_a_part_missing_is_not_made_up() -> None:
    with pytest.raises(KeyError):
        EmbeddingFingerprint.from_dict({"model": "x", "digest": "", "dimension": 3})


def test_usable_vectors_tell_their_dimension() -> None:
    assert check_vectors([[1.0, 0.0], [3, 4]], count=2, dimension=None, model="m") == 2


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0]], "1 vectors for 2 texts"),
        (None, "no list of vectors"),
        ([[1.0, 2.0], [1.0]], "different lengths"),
        ([[1.0, 2.0], ["a", "b"]], "without numbers"),
        ([[], []], "empty vectors"),
        ([1.0, 2.0], "empty vectors"),
        ([[1.0], [2.0]], "of 1 dimensions, before of 2"),
        ([[1.0, 2.0], [math.nan, 2.0]], "for text 1 of 2"),
        ([[math.inf, 2.0], [1.0, 2.0]], "for text 0 of 2"),
        ([[1.0, 2.0], [None, 2.0]], "for text 1 of 2"),
        ([[1.0, 2.0], [0.0, 0.0]], "for text 1 of 2"),
    ],
)
def test_unusable_vectors_are_refused(vectors: object, message: str) -> None:
    with pytest.raises(EmbeddingMismatch, match=message):
        check_vectors(vectors, count=2, dimension=2, model="m")


def test_the_mean_leans_towards_the_heavier_piece_and_has_unit_length() -> None:
    mean = weighted_mean([[2.0, 0.0], [0.0, 1.0]], [3, 1])
    assert mean == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])


@pytest.mark.parametrize(
    ("name", "query_prefix", "wordpiece"),
    [
        ("nomic-embed-text:v1.5", "search_query: ", True),
        ("nomic-ai/nomic-embed-text-v2-moe", "search_query: ", False),
        ("mxbai-embed-large", "Represent this sentence for searching relevant passages: ", True),
        ("BAAI/bge-m3", "", False),
        ("intfloat/multilingual-e5-large", "query: ", False),
        ("somebodys-own-model", "", False),
    ],
)
def test_known_models_are_asked_as_their_cards_say(
    name: str, query_prefix: str, wordpiece: bool
) -> None:
    facts = facts_of(name)
    assert (facts.query_prefix, facts.wordpiece) == (query_prefix, wordpiece)


def test_the_embedded_model_is_the_default(tmp_path: Path) -> None:
    assert isinstance(create_embeddings(EmbeddingSettings(), cache_dir=tmp_path), MiniLM)
    assert list(tmp_path.iterdir()) == []


def test_ollama_defaults_to_nomic_on_this_machine() -> None:
    model = create_embeddings(EmbeddingSettings(provider="ollama"))
    assert isinstance(model, OllamaEmbeddings)
    assert (model.name, model.base_url) == ("nomic-embed-text", "http://127.0.0.1:11434")


def test_an_openai_server_needs_an_address_and_a_model() -> None:
    with pytest.raises(SettingsError, match="TANDEM_EMBEDDINGS__MODEL"):
        create_embeddings(EmbeddingSettings(provider="openai", base_url="http://127.0.0.1:1/v1"))


def test_a_key_never_shows_in_a_models_representation() -> None:
    model = OpenAIEmbeddings("http://127.0.0.1:1/v1", "m", api_key=SecretStr("made-up-key"))
    assert "made-up-key" not in repr(model)


def test_tokens_of_bert_like_models_are_counted_with_the_prefix() -> None:
    model = OllamaEmbeddings("http://127.0.0.1:1", "nomic-embed-text")
    # [CLS] search _ document : hello world [SEP]
    assert model.count_tokens(["hello world"]) == [8]


def test_tokens_of_other_models_are_estimated_from_above() -> None:
    model = OpenAIEmbeddings("http://127.0.0.1:1/v1", "somebodys-own-model")
    english = "The quick brown fox jumps over the lazy dog. " * 10
    chinese = "敏捷的棕色狐狸跳过懒狗"
    counts = model.count_tokens([english, chinese, ""])
    assert counts[0] > 101  # ten words and punctuation marks a sentence, and a margin
    assert counts[1] > len(chinese)
    assert counts[2] == 2
