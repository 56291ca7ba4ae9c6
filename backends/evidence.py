"""What in a passage speaks for it as an answer, weighed without a language model.

Two small logistic models over readable features: one says how likely a sentence holds the answer,
one how likely a passage does. Their weights come from ``benchmarks/fit_evidence.py``, fitted on
half of a set of questions; what the other half gives is in ``docs/evaluation.md``.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from backends.reader import Passage
from backends.terms import Terms, coverage, names, stems, weigh

Kind = Literal["number", "name", "other"]
"""What an answer looks like: with a number, with a name, or neither for certain."""

_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|fast|large|big|tall|high|often|deep|wide|heavy|hot)\b"
    r"|\bwhen\b|\b(?:what|which|in what|on what) (?:year|date|day|month|century|decade|percent|"
    r"percentage|number|temperature|speed|age)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b(?:who|whom|whose|where)\b", re.IGNORECASE)
_DIGIT = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million|half)\b"
)
_CAPITALISED = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z]\w+")
_CONTENT_WORD = re.compile(r"\w[\w'-]*")

_LEAST_PROBABLE = 0.35
"""Of a further sentence, relative to the best one, for it to be quoted as well."""
_MAX_QUOTED = 3
_COSINE_PER_COVERAGE = 0.7
"""What cosine stands for which coverage, where the embedding model is down."""
_SHORTEST_SENTENCE = 25


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read once."""

    text: str
    terms: Terms
    names: frozenset[int]
    kind: Kind

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text, weigh(text), names(text), _kind(text))

    def shorter(self) -> Iterator[str]:
        """Queries of the content words, then of the half that says most, in their order."""
        words = [word for word in _CONTENT_WORD.findall(self.text) if stems(word)]
        yield " ".join(words)
        said = [
            max((self.terms.get(stem, 0.0) for stem in stems(word)), default=0.0) for word in words
        ]
        strong = sorted(range(len(words)), key=lambda i: -said[i])[: max(2, len(words) // 2)]
        yield " ".join(words[position] for position in sorted(strong))


class Logistic(NamedTuple):
    """A logistic model: a weight per feature, and the bias."""

    weights: tuple[float, ...]
    bias: float

    def probability(self, features: NDArray[np.float64]) -> float:
        """The probability that a feature vector stands for."""
        return 1.0 / (1.0 + math.exp(-(float(features @ np.asarray(self.weights)) + self.bias)))


SENTENCE = Logistic((9.0, 3.0, 1.0, 1.0, 1.0), -7.0)
PASSAGE = Logistic((8.0, 2.0, 3.0, 2.0, 1.0), -8.0)


class Reading(NamedTuple):
    """What reading a passage for a question gave."""

    spans: Sequence[tuple[int, int]]
    """Its sentences."""
    scores: list[float]
    """The probability of each sentence to hold the answer."""
    relevance: float
    """The probability of the passage to hold it."""


class Chosen(NamedTuple):
    """A sentence to be quoted."""

    passage: int
    span: tuple[int, int]


def read_passage(
    question: Question,
    passage: Passage,
    spans: Sequence[tuple[int, int]],
    cosines: NDArray[np.float64] | None,
) -> Reading:
    """Weigh a passage. ``cosines`` are the question's with each sentence; None where unknown."""
    if not spans:
        return Reading((), [], 0.0)
    rows = sentence_features(question, passage, spans, cosines)
    scores = [SENTENCE.probability(row) for row in rows]
    relevance = PASSAGE.probability(passage_features(question, passage, rows))
    return Reading(spans, scores, relevance)


def sentence_features(
    question: Question,
    passage: Passage,
    spans: Sequence[tuple[int, int]],
    cosines: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """A row per sentence: cosine, terms covered, names covered, looks like an answer, prose."""
    around = stems(f"{passage['title']} {passage['heading']}")
    rows = []
    for position, span in enumerate(spans):
        text = passage["text"][slice(*span)]
        found = stems(text)
        covered = coverage(question.terms, found)
        cosine = covered * _COSINE_PER_COVERAGE if cosines is None else float(cosines[position])
        named = coverage(dict.fromkeys(question.names, 1.0), found | around)
        rows.append(
            (cosine, covered, named, _looks_like_answer(question, text, found), _is_prose(text))
        )
    return np.asarray(rows)


def passage_features(
    question: Question, passage: Passage, rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Best cosine, terms covered, best terms covered in one sentence, names, looks of the best."""
    found = stems(f"{passage['title']} {passage['heading']} {passage['text']}")
    best = int(np.argmax(rows[:, 0]))
    return np.asarray(
        (
            rows[best, 0],
            coverage(question.terms, found),
            rows[:, 1].max(),
            coverage(dict.fromkeys(question.names, 1.0), found),
            rows[best, 3],
        )
    )


def choose_sentences(readings: Sequence[Reading]) -> list[Chosen]:
    """The best sentence, and further ones that are nearly as good, in the documents' order."""
    ranked = sorted(
        (
            (score * reading.relevance, position, index)
            for position, reading in enumerate(readings)
            for index, score in enumerate(reading.scores)
        ),
        key=lambda entry: -entry[0],
    )[:_MAX_QUOTED]
    if not ranked:
        return []
    least = ranked[0][0] * _LEAST_PROBABLE
    chosen = sorted((position, index) for score, position, index in ranked if score >= least)
    return [Chosen(position, readings[position].spans[index]) for position, index in chosen]


def _kind(question: str) -> Kind:
    if _NUMBER.search(question):
        return "number"
    return "name" if _NAME.search(question) else "other"


def _looks_like_answer(question: Question, text: str, found: frozenset[int]) -> float:
    """Whether a sentence has what the question asks for: a number, or a name it does not give."""
    if question.kind == "number":
        digits = frozenset().union(*(stems(number) for number in _DIGIT.findall(text)))
        return float(bool(digits - question.names))
    if question.kind == "name":
        others = frozenset().union(*(stems(name) for name in _CAPITALISED.findall(text)))
        return float(bool(others - question.names))
    return 0.5


def _is_prose(text: str) -> float:
    """Whether it reads as a sentence, not as a heading, a cell or a line of code."""
    return float(len(text) >= _SHORTEST_SENTENCE and text.rstrip().endswith((".", "!", "?", ":")))
