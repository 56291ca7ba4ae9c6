"""An embedding model that costs nothing, for measuring everything around the real one.

It stands at the outermost boundary: what it returns passes through the same checks and the same
store as real vectors, but says nothing about meaning.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel

DIMENSION = 384
_CHARS_A_TOKEN = 4


class StandIn(EmbeddingModel):
    """Vectors drawn at random from a few, by the text's hash; tokens counted by characters."""

    name = "stand-in"
    max_tokens = 256

    def __init__(self) -> None:
        self._vectors = np.random.default_rng(0).normal(size=(256, DIMENSION)).tolist()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [2 + -(-len(text) // _CHARS_A_TOKEN) for text in texts]

    async def fingerprint(self) -> EmbeddingFingerprint:
        return EmbeddingFingerprint(self.name, "1", DIMENSION, "|")

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """As ``aembed_documents``."""
        return [list(self._vectors[_digest(text)]) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """As ``aembed_query``."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector each; at once."""
        return self.embed_documents(texts)


def _digest(text: str) -> int:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]
