import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.minilm import model as minilm
from backends.minilm.cache import cache_file
from backends.minilm.engine import _pad
from backends.minilm.model import BATCH, weights_digest
from backends.minilm.wordpiece import load_tokenizer, model_folder
from errors import EmbeddingsUnavailable


@given(st.lists(st.integers(2, 256), max_size=100))
def test_every_text_is_in_one_batch_and_its_vector_returns_to_its_place(lengths: list[int]) -> None:
    texts_ids = [[0] * length for length in lengths]
    batches = minilm._batches(texts_ids)
    assert all(len(batch) <= BATCH for batch in batches)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    vectors = [np.array([[place] * minilm.DIMENSION for place in batch]) for batch in batches]
    restored = minilm._in_order(vectors, batches)
    assert [row[0] for row in restored] == list(range(len(lengths)))


def test_batches_hold_texts_of_similar_length() -> None:
    lengths = [200, 3, 199, 4] * BATCH
    batches = minilm._batches([[0] * length for length in lengths])
    spreads = [max(lengths[p] for p in b) - min(lengths[p] for p in b) for b in batches]
    assert max(spreads) <= 1


def test_padding_is_as_wide_as_the_longest_text_and_masked() -> None:
    ids, mask = _pad([[101, 7, 102], [101, 102]])
    assert ids.tolist() == [[101, 7, 102], [101, 102, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_the_packaged_weights_are_the_published_ones() -> None:
    published = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert weights_digest(model_folder()) == published


def test_other_weights_are_hashed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert weights_digest(tmp_path) == hashlib.sha256(b"weights").hexdigest()


def test_a_compiled_network_belongs_to_weights_version_and_options(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    path = cache_file(tmp_path, weights, "2026.4/x", options)
    assert path == cache_file(tmp_path, weights, "2026.4/x", options)
    assert path.parent == tmp_path
    assert path != cache_file(tmp_path, weights, "2026.5", options)
    assert path != cache_file(tmp_path, weights, "2026.4/x", {**options, "NUM_STREAMS": 2})
    weights.write_bytes(b"other weights")
    assert path != cache_file(tmp_path, weights, "2026.4/x", options)


def test_a_damaged_tokenizer_says_what_to_reinstall(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EmbeddingsUnavailable, match="reinstall"):
        load_tokenizer(tmp_path)
