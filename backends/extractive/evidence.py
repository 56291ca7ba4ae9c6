"""What in a passage speaks for it as an answer, weighed without a language model.

Two small logistic models over readable features: one says how likely a sentence holds the answer,
one how likely a passage does. Their weights come from ``benchmarks/fit_evidence.py``, fitted on
half of a set of questions; ``make bench-answers`` shows what the other half gives.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from backends.extractive.terms import Terms, coverage, names, stems, weigh
from backends.reader import Passage
from backends.sentences import is_heading, sentences

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
_MAX_EMBEDDED = 4
"""Sentences of a passage: more cost time and found no more answers."""


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


SENTENCE = Logistic((1.72, 4.31, 0.11, 0.46), -3.78)
PASSAGE = Logistic((7.29, 2.64, 1.62, 1.14, 0.33), -7.88)


class Evidence(NamedTuple):
    """What was seen in a passage."""

    spans: list[tuple[int, int]]
    """The sentences that were looked at."""
    rows: NDArray[np.float64]
    """A row of features per sentence."""
    features: NDArray[np.float64]
    """The features of the passage."""


class Reading(NamedTuple):
    """What reading a passage for a question gave."""

    spans: list[tuple[int, int]]
    """The sentences that were looked at."""
    scores: list[float]
    """The probability of each sentence to hold the answer."""
    relevance: float
    """The probability of the passage to hold it."""


class Quoted(NamedTuple):
    """A sentence to be quoted."""

    passage: int
    """Its passage's position, from 0."""
    span: tuple[int, int]


def candidates(question: Question, text: str) -> list[tuple[int, int]]:
    """The sentences worth embedding: those that share most words with the question, in order.

    Headings and questions announce answers and hold none.
    """
    spans = [span for span in sentences(text) if _may_answer(text[slice(*span)])]
    said = [coverage(question.terms, stems(text[slice(*span)])) for span in spans]
    best = sorted(range(len(spans)), key=lambda position: -said[position])[:_MAX_EMBEDDED]
    return [spans[position] for position in sorted(best)]


def weigh_evidence(
    question: Question,
    passage: Passage,
    spans: list[tuple[int, int]],
    cosines: NDArray[np.float64] | None,
) -> Evidence:
    """The features of a passage. ``cosines`` are the question's with each sentence, or unknown."""
    around = stems(f"{passage['title']} {passage['heading']}")
    rows = np.asarray(
        [
            _sentence_features(
                question,
                passage["text"][slice(*span)],
                around,
                None if cosines is None else float(cosines[position]),
            )
            for position, span in enumerate(spans)
        ]
    ).reshape(len(spans), len(SENTENCE.weights))
    found = around | stems(passage["text"])
    best = rows[np.argmax(rows[:, 0])] if spans else np.zeros(len(SENTENCE.weights))
    features = np.asarray(
        (
            best[0],
            coverage(question.terms, found),
            rows[:, 1].max(initial=0.0),
            coverage(dict.fromkeys(question.names, 1.0), found),
            best[3],
        )
    )
    return Evidence(spans, rows, features)


def _sentence_features(
    question: Question, text: str, around: frozenset[int], cosine: float | None
) -> tuple[float, float, float, float]:
    """Cosine, terms covered, names covered (here or in the headings), looks like an answer."""
    found = stems(text)
    covered = coverage(question.terms, found)
    return (
        covered * _COSINE_PER_COVERAGE if cosine is None else cosine,
        covered,
        coverage(dict.fromkeys(question.names, 1.0), found | around),
        _looks_like_answer(question, text, found),
    )


def read_evidence(evidence: Evidence) -> Reading:
    """Probabilities from features."""
    scores = [SENTENCE.probability(row) for row in evidence.rows]
    relevance = PASSAGE.probability(evidence.features) if scores else 0.0
    return Reading(evidence.spans, scores, relevance)


def choose_sentences(passages: Sequence[Passage], readings: Sequence[Reading]) -> list[Quoted]:
    """The best sentence, and further ones that are nearly as good, in the passages' order.

    What stands in two documents is quoted once.
    """
    ranked = sorted(
        (
            (score * math.sqrt(reading.relevance), Quoted(position, span))
            for position, reading in enumerate(readings)
            for score, span in zip(reading.scores, reading.spans, strict=True)
        ),
        key=lambda entry: -entry[0],
    )
    chosen: dict[str, Quoted] = {}
    for score, quoted in ranked:
        if len(chosen) == _MAX_QUOTED or score < ranked[0][0] * _LEAST_PROBABLE:
            break
        text = passages[quoted.passage]["text"][slice(*quoted.span)]
        chosen.setdefault(" ".join(text.casefold().split()), quoted)
    return sorted(chosen.values())


def _may_answer(text: str) -> bool:
    return bool(_CONTENT_WORD.search(text)) and not is_heading(text) and not text.endswith("?")


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
