"""all-MiniLM-L6-v2 inside the process: no server, no PyTorch, no download."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel, too_long
from backends.minilm.engine import Engine, Ids, Lane, PrecisionChoice, Vectors
from backends.minilm.wordpiece import PACKAGE, count_tokens, encode, model_folder

BATCH = 8
"""Texts in one run of the network. More gain nothing on a processor, hold others up, and are padded
more: of 512 texts sorted by length, 1.8 % with 16 and half of that with 8."""
SMALL_CALL = 4096
"""Calls of at most this many tokens are treated like queries: somebody is waiting for them."""
DIMENSION = 384


class MiniLM(EmbeddingModel):
    """The embedded default model: 384 dimensions, unit length.

    It reads 256 tokens, its published limit, although its position table has 512 places: it was
    trained on texts of 128, and nobody has published how well longer ones fare.
    """

    name = "all-MiniLM-L6-v2"
    max_tokens = 256

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        threads: int | None = None,
        precision: PrecisionChoice = "auto",
        folder: Path | None = None,
    ) -> None:
        """Nothing is loaded before the first call or ``start_loading``.

        ``cache_dir`` keeps the compiled network, 90 MB, so that the next process starts faster.
        ``threads`` defaults to the processors this process may use. ``auto`` is bf16 where the
        processor multiplies it natively, else f32. ``folder`` holds the model's files.

        Raises:
            EmbeddingsUnavailable: the model's package is not installed.
        """
        threads = threads or _available_processors()
        self._folder = folder or model_folder()
        self._engine = Engine(
            self._folder, threads=threads, precision=precision, cache_dir=cache_dir
        )
        self._queries = ThreadPoolExecutor(1, "minilm-query")
        self._documents = ThreadPoolExecutor(self._engine.streams, "minilm-documents")

    @property
    def precision(self) -> PrecisionChoice:
        """What was asked for; once loaded, what is used."""
        return self._engine.precision

    def start_loading(self) -> None:
        """Load in the background, so that the first query waits less or not at all.

        A failure shows in the first real call.
        """
        self._queries.submit(self.embed_documents, [self.name])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return count_tokens(texts, self._folder)

    async def fingerprint(self) -> EmbeddingFingerprint:
        digest = await asyncio.to_thread(weights_digest, self._folder)
        return EmbeddingFingerprint(self.name, digest, DIMENSION, prefixes="|")

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """As ``aembed_documents``, in the calling thread."""
        texts_ids = self._encode(texts)
        batches = _batches(texts_ids)
        vectors = [self._engine.infer(_pick(texts_ids, batch), "query") for batch in batches]
        return _in_order(vectors, batches)

    def embed_query(self, text: str) -> list[float]:
        """As ``aembed_query``; must not be called from a thread that runs an event loop."""
        return asyncio.run(self.aembed_query(text))

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit vectors in the same order. Cancelling stops the work within a batch."""
        texts_ids = await asyncio.to_thread(self._encode, texts)
        small = sum(map(len, texts_ids)) <= SMALL_CALL
        lane: Lane = "query" if small else "document"
        executor = self._queries if small else self._documents
        batches = _batches(texts_ids)
        loop = asyncio.get_running_loop()
        vectors = await asyncio.gather(
            *(
                loop.run_in_executor(executor, self._engine.infer, _pick(texts_ids, batch), lane)
                for batch in batches
            )
        )
        return _in_order(vectors, batches)

    async def aclose(self) -> None:
        """Let the batches that run finish in the background, drop those that wait."""
        for executor in (self._queries, self._documents):
            executor.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids.

        Raises:
            TextTooLong: a text has more than ``max_tokens``.
        """
        texts_ids = encode(texts, self._folder)
        for position, ids in enumerate(texts_ids):
            if len(ids) > self.max_tokens:
                raise too_long(
                    texts[position],
                    position=position,
                    tokens=len(ids),
                    model=self.name,
                    limit=self.max_tokens,
                )
        return texts_ids


@cache
def weights_digest(folder: Path) -> str:
    """The weights' sha256, in hexadecimal.

    For the packaged model it is the one that the package's own list of files states: reading and
    hashing 90 MB at each start would take longer than answering a question.
    """
    path = folder / "model.safetensors"
    try:
        recorded = files(PACKAGE) or []
    except PackageNotFoundError:
        recorded = []
    for file in recorded:
        if file.hash is not None and file.hash.mode == "sha256" and file.locate() == path:
            return base64.urlsafe_b64decode(file.hash.value + "=").hex()
    with path.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()


def _available_processors() -> int:
    """The processors this process may use; fewer than the machine's in a container or a slice."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _batches(texts_ids: Sequence[Ids]) -> list[list[int]]:
    """The texts' places in batches of similar length, so that little is padded; longest first,
    so that no long batch is left to run alone at the end."""
    order = sorted(range(len(texts_ids)), key=lambda place: len(texts_ids[place]), reverse=True)
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def _pick(texts_ids: Sequence[Ids], places: Sequence[int]) -> list[Ids]:
    return [texts_ids[place] for place in places]


def _in_order(vectors: Sequence[Vectors], batches: Sequence[Sequence[int]]) -> list[list[float]]:
    """The batches' vectors put back into the texts' order."""
    if not batches:
        return []
    places = np.concatenate([np.asarray(batch) for batch in batches])
    restored = np.empty((len(places), DIMENSION), dtype=np.float32)
    restored[places] = np.concatenate(vectors)
    rows: list[list[float]] = restored.tolist()
    return rows
