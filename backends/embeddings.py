"""Where texts become vectors: what every embedding model offers, and how one is chosen.

Three kinds follow it: MiniLM inside the process (``backends.minilm``), Ollama and any
OpenAI-compatible server (``backends.remote_embeddings``).
Vectors are compared by cosine, so they need not have unit length.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from langchain_core.embeddings import Embeddings

from errors import EmbeddingMismatch, SettingsError, TextTooLong
from settings import EmbeddingSettings

OLLAMA_URL = "http://127.0.0.1:11434"
OLLAMA_MODEL = "nomic-embed-text"


class EmbeddingFingerprint(NamedTuple):
    """What decides whether two vectors may be compared. Stored beside the vectors."""

    model: str
    digest: str
    """The weights' hash as their source states it; empty where it states none."""
    dimension: int
    prefixes: str
    """What is put before documents and before queries, joined by ``|``."""

    def as_dict(self) -> dict[str, str | int]:
        return self._asdict()

    @classmethod
    def from_dict(cls, stored: dict[str, str | int]) -> Self:
        """The fingerprint that ``as_dict`` wrote; KeyError where a part is missing."""
        return cls(
            model=str(stored["model"]),
            digest=str(stored["digest"]),
            dimension=int(stored["dimension"]),
            prefixes=str(stored["prefixes"]),
        )


class EmbeddingModel(Embeddings, ABC):
    """An embedding model whose answers have been checked."""

    name: str
    max_tokens: int
    """The longest text in the model's own tokens, special tokens and prefix included."""

    def start_loading(self) -> None:
        """Begin in the background what the first call would wait for."""

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each document, special tokens and the document prefix included."""

    @abstractmethod
    async def fingerprint(self) -> EmbeddingFingerprint:
        """What these vectors are made with. Servers are asked once, then it is remembered.

        Raises:
            EmbeddingsUnavailable: the server does not answer or does not have the model.
        """

    @abstractmethod
    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in the same order.

        Raises:
            TextTooLong: a text has more than ``max_tokens``; nothing is ever truncated.
            EmbeddingMismatch: the vectors that came back cannot be used.
            EmbeddingsUnavailable: the model does not answer.
        """

    async def aembed_query(self, text: str) -> list[float]:
        """The vector of a search query of any length.

        A query longer than ``max_tokens`` is embedded in pieces; its vector is the mean of
        theirs, weighted by their tokens.
        """
        pieces = await asyncio.to_thread(self._split_query, text)
        vectors = await self._embed_queries(pieces)
        if len(pieces) == 1:
            return vectors[0]
        return weighted_mean(vectors, self._count_query_tokens(pieces))

    def _split_query(self, text: str) -> list[str]:
        """The query cut, where possible between words, into pieces that the model can read."""
        if len(text) < 2 or self._count_query_tokens([text])[0] <= self.max_tokens:
            return [text]
        middle = len(text) // 2
        space = text.find(" ", middle, middle + 200)
        cut = space if space > 0 else middle
        return self._split_query(text[:cut]) + self._split_query(text[cut:])

    def _count_query_tokens(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each query, its prefix included; differs where the prefixes do."""
        return self.count_tokens(texts)

    async def _embed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each piece of a query, in the same order."""
        return await self.aembed_documents(texts)

    async def aclose(self) -> None:
        """Let go of threads and connections."""


def create_embeddings(
    settings: EmbeddingSettings, *, cache_dir: Path | None = None
) -> EmbeddingModel:
    """The configured model. Nothing is loaded and no server is asked yet.

    ``cache_dir`` is where the embedded model may keep its compiled form to start faster.

    Raises:
        SettingsError: the provider needs a setting that is missing.
    """
    # Imported here because each brings libraries that the other providers' users never need.
    if settings.provider == "minilm":
        from backends.minilm.model import MiniLM

        return MiniLM(cache_dir=cache_dir)
    if settings.provider == "ollama":
        from backends.remote_embeddings.ollama import OllamaEmbeddings

        return OllamaEmbeddings(
            base_url=settings.base_url or OLLAMA_URL,
            name=settings.model or OLLAMA_MODEL,
            api_key=settings.api_key,
            batch_size=settings.batch_size,
            timeout_s=settings.timeout_s,
            query_timeout_s=settings.query_timeout_s,
        )
    from backends.remote_embeddings.openai import OpenAIEmbeddings

    if not settings.base_url or not settings.model:
        raise SettingsError(
            "The provider 'openai' needs TANDEM_EMBEDDINGS__BASE_URL (such as "
            "http://127.0.0.1:8000/v1) and TANDEM_EMBEDDINGS__MODEL."
        )
    return OpenAIEmbeddings(
        base_url=settings.base_url,
        name=settings.model,
        api_key=settings.api_key,
        batch_size=settings.batch_size,
        timeout_s=settings.timeout_s,
        query_timeout_s=settings.query_timeout_s,
    )


def check_vectors(vectors: object, *, count: int, dimension: int | None, model: str) -> int:
    """The dimension of vectors that can be used: one for each text, equally long, finite, not 0.

    Raises:
        EmbeddingMismatch: naming the first thing that is wrong.
    """
    if not isinstance(vectors, list) or len(vectors) != count:
        got = len(vectors) if isinstance(vectors, list) else "no list of"
        raise EmbeddingMismatch(
            f"{model} returned {got} vectors for {count} texts. Nothing of this batch was kept; "
            "update the embedding server or lower TANDEM_EMBEDDINGS__BATCH_SIZE."
        )
    try:
        matrix = np.asarray(vectors, dtype=np.float64)
    except (ValueError, TypeError) as exc:
        raise EmbeddingMismatch(
            f"{model} returned vectors of different lengths or without numbers."
        ) from exc
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise EmbeddingMismatch(f"{model} returned empty vectors. Is it an embedding model?")
    if dimension is not None and matrix.shape[1] != dimension:
        raise EmbeddingMismatch(
            f"{model} returned vectors of {matrix.shape[1]} dimensions, before of {dimension}: "
            "the model behind this name has changed. Restart Tandem and run `tandem reindex`."
        )
    usable = np.isfinite(matrix).all(axis=1) & matrix.any(axis=1)
    if not usable.all():
        raise EmbeddingMismatch(
            f"{model} returned a vector with NaN, infinity or only zeros for text "
            f"{int(np.argmin(usable))} of {count}. Restart the embedding server or update it."
        )
    return int(matrix.shape[1])


def too_long(
    text: str, *, position: int, tokens: int | None, model: str, limit: int
) -> TextTooLong:
    """The error for a text that does not fit; ``tokens`` is None where only the server counted."""
    size = f"{tokens} tokens" if tokens is not None else "too many tokens"
    return TextTooLong(
        f"Text {position} ({text[:60]!r}...) has {size}; {model} reads at most {limit}. "
        "Split it into smaller pieces.",
        position=position,
    )


def weighted_mean(vectors: Sequence[Sequence[float]], weights: Sequence[int]) -> list[float]:
    """The direction, as a unit vector, in which the vectors point on the whole."""
    matrix = np.asarray(vectors, dtype=np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    mean = np.asarray(weights, dtype=np.float64) @ matrix
    unit: list[float] = (mean / np.linalg.norm(mean)).tolist()
    return unit
