"""Runs MiniLM's network: loads it late, keeps queries apart from indexing.

Two compiled networks. The *query* network uses all threads for one small batch and may be kept
compiled in a cache folder, since a command's first answer waits for it. The *document* network is
made when the first large call comes and runs several batches side by side, a few threads each,
which wastes less on waiting. Both share the processor, so a query never queues behind a batch.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.minilm.cache import cache_file, load, save
from errors import EmbeddingsUnavailable

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]  # it ships no types

Ids = Sequence[int]
Vectors = np.ndarray[Any, np.dtype[np.float32]]
Lane = Literal["query", "document"]
PrecisionChoice = Literal["auto", "f32", "bf16"]

MAX_STREAMS = 4
"""Batches side by side. Each costs up to 200 MB; beyond four, more threads per batch gain more."""


class Engine:
    """Token ids to unit vectors. Safe to call from several threads; loads on the first call."""

    def __init__(
        self, folder: Path, *, threads: int, precision: PrecisionChoice, cache_dir: Path | None
    ) -> None:
        self.streams = min(threads, MAX_STREAMS)
        self._folder = folder
        self._threads = threads
        self.precision = precision
        """What was asked for; once loaded, what is used."""
        self._cache_dir = cache_dir
        self._networks: dict[Lane, ov.CompiledModel] = {}
        self._locks: dict[Lane, threading.Lock] = {
            "query": threading.Lock(),
            "document": threading.Lock(),
        }
        self._requests = threading.local()

    def infer(self, batch: Sequence[Ids], lane: Lane) -> Vectors:
        """One run of the network: [texts, 384], in the batch's order.

        Raises:
            EmbeddingsUnavailable: the network cannot be loaded.
        """
        request: ov.InferRequest | None = getattr(self._requests, lane, None)
        if request is None:
            request = self._network(lane).create_infer_request()
            setattr(self._requests, lane, request)
        request.infer(_pad(batch), share_inputs=True)
        vectors: Vectors = request.get_output_tensor(0).data.copy()
        return vectors

    def _network(self, lane: Lane) -> "ov.CompiledModel":
        with self._locks[lane]:
            if lane not in self._networks:
                self._networks[lane] = self._compile(lane)
            return self._networks[lane]

    def _compile(self, lane: Lane) -> "ov.CompiledModel":
        # OpenVINO takes a tenth of a second to import, which only users of this model should pay.
        import openvino as ov

        from backends.minilm.network import build_network, native_precision, read_weights

        core = ov.Core()
        if self.precision == "auto":
            self.precision = native_precision(core)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self.streams if lane == "document" else 1,
        }
        weights = self._folder / "model.safetensors"
        try:
            if lane == "document" or self._cache_dir is None:
                return core.compile_model(build_network(read_weights(weights)), "CPU", options)
            path = cache_file(self._cache_dir, weights, ov.__version__, options)
            network = load(core, path, options)
            if network is None:
                network = core.compile_model(build_network(read_weights(weights)), "CPU", options)
                save(network, path)
        except RuntimeError as exc:
            raise EmbeddingsUnavailable(
                f"OpenVINO cannot run the embedded model on this processor: {exc}"
            ) from exc
        return network


def _pad(batch: Sequence[Ids]) -> list[np.ndarray[Any, Any]]:
    """``ids`` and ``mask`` of the batch, as wide as its longest text."""
    width = max(len(ids) for ids in batch)
    padded = np.zeros((len(batch), width), dtype=np.int32)
    mask = np.zeros((len(batch), width), dtype=np.float32)
    for row, ids in enumerate(batch):
        padded[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return [padded, mask]
