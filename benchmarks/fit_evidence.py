"""Fits the weights of ``backends/extractive/evidence.py`` on half of a set of questions.

    python -m benchmarks.fit_evidence --data DIR --work FOLDER

DIR is laid out as for ``benchmarks.answers``, and the half is the one it calls ``fitted``. For each
of its questions the graph's own search runs twice, over everything and without the articles that
answer, and every passage found is an example. The threshold is the lowest at which at most one
answerable question in ten is not answered; it is folded into the bias, so that it becomes 0.5.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from api.service import Service, open_service
from backends.extractive.evidence import Evidence
from backends.reader import Passage
from benchmarks.answers import Sample, copy_articles, read_samples
from nodes.retrieval import as_passage
from settings import load_settings

UNANSWERED = 0.1
RIDGE = 1e-4
STEPS = 50

Floats = NDArray[np.float64]


class Example(NamedTuple):
    """What one question found: with its article in the index, and without it."""

    sample: Sample
    passages: list[Passage]
    seen: list[Evidence]
    seen_without: list[Evidence]


async def collect(data: Path, work: Path) -> list[Example]:
    """Search and look, with nothing decided yet."""
    samples = read_samples(data / "questions.jsonl")
    answering = sorted({f"articles/{sample.source}" for sample in samples})
    without = models.Filter(
        must_not=[
            models.FieldCondition(key="metadata.source", match=models.MatchAny(any=answering))
        ]
    )
    articles = copy_articles(data, work)
    settings = load_settings().model_copy(update={"data_dir": work / "data", "roots": [articles]})
    async with open_service(settings) as service:
        await service.indexing.run([articles])
        examples = []
        for sample in samples:
            if sample.fitted:
                examples.append(await _look(service, sample, without))
                print(f"\rlooked at {len(examples)}", end="", file=sys.stderr)
    return examples


async def _look(service: Service, sample: Sample, without: models.Filter) -> Example:
    store, reader, k = service.backends.store, service.backends.extractive, service.settings.top_k
    found = [as_passage(document) for document in await store.search(sample.question, k=k)]
    others = [
        as_passage(document) for document in await store.search(sample.question, k=k, where=without)
    ]
    return Example(
        sample,
        found,
        await reader.evidence(sample.question, found),
        await reader.evidence(sample.question, others),
    )


def fit(features: Floats, labels: Floats) -> Floats:
    """Logistic regression by Newton's method, with a light ridge; the bias comes last."""
    rows = np.c_[features, np.ones(len(features))]
    penalty = RIDGE * len(rows) * np.diag([1.0] * features.shape[1] + [1e-9])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-rows @ weights))
        gradient = rows.T @ (probability - labels) + penalty @ weights
        curvature = (rows * (probability * (1 - probability))[:, None]).T @ rows + penalty
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def fit_all(examples: list[Example]) -> dict[str, dict[str, list[float] | float]]:
    """Both models; the passage model with its threshold folded in."""
    passages: list[tuple[Floats, bool]] = []
    sentences: list[tuple[Floats, bool]] = []
    for example in examples:
        for passage, seen in zip(example.passages, example.seen, strict=True):
            answers = _answers(example.sample, passage)
            passages.append((seen.features, answers))
            if answers:
                sentences += [
                    (row, _holds(example.sample, passage["text"][slice(*span)]))
                    for row, span in zip(seen.rows, seen.spans, strict=True)
                ]
        passages += [(seen.features, False) for seen in example.seen_without]
    of_passage = fit(*_stacked(passages))
    of_passage[-1] -= _threshold(examples, of_passage)
    of_sentence = fit(*_stacked(sentences))
    return {"SENTENCE": _shown(of_sentence), "PASSAGE": _shown(of_passage)}


def _threshold(examples: list[Example], weights: Floats) -> float:
    """The log-odds that all but a tenth of the questions' best passages reach."""
    best = [
        max((float(seen.features @ weights[:-1]) for seen in example.seen), default=-np.inf)
        for example in examples
    ]
    return float(np.quantile(best, UNANSWERED)) + float(weights[-1])


def _answers(sample: Sample, passage: Passage) -> bool:
    return passage["source"] == f"articles/{sample.source}" and (
        passage["text"] in sample.paragraph
        or sample.paragraph in passage["text"]
        or _holds(sample, passage["text"])
    )


def _holds(sample: Sample, text: str) -> bool:
    return any(answer.casefold() in text.casefold() for answer in sample.answers)


def _stacked(examples: list[tuple[Floats, bool]]) -> tuple[Floats, Floats]:
    rows, labels = zip(*examples, strict=True)
    return np.asarray(rows), np.asarray(labels, dtype=np.float64)


def _shown(weights: Floats) -> dict[str, list[float] | float]:
    rounded = [round(float(weight), 2) for weight in weights]
    return {"weights": rounded[:-1], "bias": rounded[-1]}


def main() -> None:
    """Print the weights as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="articles/ and questions.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="where copy and index are kept")
    options = parser.parse_args()
    examples = asyncio.run(collect(options.data, options.work.absolute()))
    print(file=sys.stderr)
    print(json.dumps(fit_all(examples), indent=2))


if __name__ == "__main__":
    main()
