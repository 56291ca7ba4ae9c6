"""BM25 weights of words: the sparse arm of the search.

Document vectors hold saturated term frequencies (Robertson and Zaragoza, *The Probabilistic
Relevance Framework*, 2009), query vectors ones; Qdrant multiplies by the inverse document frequency
of its collection. Words are lower-cased, stemmed and stripped of stop words by Qdrant's own
English model, which needs no download.
"""

import qdrant_edge as edge
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector

AVERAGE_WORDS = 75.0
"""What a passage is compared with: words, less stop words, of those that the chunker makes of
prose. What other averages find is in docs/benchmarks.md."""


class Bm25Sparse(SparseEmbeddings):
    """Words as sparse vectors; a text without words becomes an empty one. Thread-safe."""

    def __init__(self) -> None:
        self._model = edge.Bm25(edge.Bm25Config(avg_len=AVERAGE_WORDS))

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """A vector for each text, in the same order."""
        return [_plain(self._model.embed_document(text)) for text in texts]

    def embed_query(self, text: str) -> SparseVector:
        """Every distinct word once."""
        return _plain(self._model.embed_query(text))


def _plain(source: edge.SparseVector) -> SparseVector:
    return SparseVector(indices=source.indices, values=source.values)
