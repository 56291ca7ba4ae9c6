"""Ways to make one ranking of two, compared on what dense search and BM25 find in the product.

    python -m benchmarks.fusion --data DIR [--work DIR]

DIR is laid out as for ``benchmarks.retrieval`` (the figure is nDCG@10) or as for
``benchmarks.paragraphs`` (the paragraph is among the first five). Both arms are asked once for each
question; every way fuses their passages and scores here, so that all see the same. Prints a JSON
object a line: the mean with its 95 % bootstrap interval, the mean of each of five folds, and how
far the way is above distribution-based fusion, which the product uses.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.service import open_service
from benchmarks.answers import has_gold, read_samples
from benchmarks.paragraphs import FIRST, copy_articles
from benchmarks.retrieval import interval, ndcg, own_settings, read_grades, read_lines, write_corpus

WIDTHS = (50, 100, 200)
"""Passages of each arm."""
FOLDS = 5

Floats = NDArray[np.float64]
Way = Callable[[Floats], Floats]
"""What an arm's scores, best first, are worth in the sum."""


class Question(NamedTuple):
    """A question and the figure that a ranking of passages gives it."""

    text: str
    rate: Callable[[Sequence[Any]], float]


def reciprocal_rank(scores: Floats, *, k: int) -> Floats:
    """Ranks alone count (Cormack et al., 2009), from 0, as Qdrant counts them."""
    return np.asarray([1.0 / (k + rank) for rank in range(len(scores))])


def distribution(scores: Floats) -> Floats:
    """Where a score is between its arm's mean minus and plus three standard deviations."""
    spread = 6 * scores.std(ddof=1) if len(scores) > 1 else 0.0
    if not spread:
        return np.full(len(scores), 0.5)
    return np.asarray((scores - scores.mean()) / spread + 0.5)


def min_max(scores: Floats) -> Floats:
    """Where a score is between its arm's lowest and highest."""
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    return np.asarray((scores - scores.min()) / spread) if spread else np.ones(len(scores))


WAYS: Mapping[str, Way] = {
    "distribution": distribution,
    "min-max": min_max,
    **{f"reciprocal rank, k={k}": partial(reciprocal_rank, k=k) for k in (2, 10, 60)},
}
WEIGHTS = ((1.0, 1.0), (1.5, 1.0), (1.0, 1.5))
"""Of dense search and of BM25."""


def fuse(arms: Sequence[Sequence[Any]], way: Way, weights: Sequence[float]) -> list[Any]:
    """The passages of all arms, best first by the weighted sum of what their scores are worth."""
    worth: dict[str, float] = defaultdict(float)
    passages = {}
    for arm, weight in zip(arms, weights, strict=True):
        scores = np.asarray([passage.metadata["score"] for passage in arm])
        for passage, value in zip(arm, way(scores) if arm else [], strict=True):
            worth[passage.id] += weight * float(value)
            passages[passage.id] = passage
    return [passages[found] for found in sorted(worth, key=lambda found: -worth[found])]


async def ask(data: Path, work: Path, others: int | None) -> list[tuple[Question, list[Any]]]:
    """Index; then each question with what its arms found."""
    if (data / "corpus.jsonl").is_file():
        root, questions = _judged(data, work)
    else:
        root, questions = _answered(data, work, others)
    asked = []
    async with open_service(own_settings(work)) as service:
        await service.indexing.run([root])
        search = partial(service.backends.store.search, k=max(WIDTHS))
        for question in questions:
            arms = [await search(question.text, mode=mode) for mode in ("dense", "sparse")]
            asked.append((question, arms))
            print(f"\rasked {len(asked)}/{len(questions)} ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return asked


def _judged(data: Path, work: Path) -> tuple[Path, list[Question]]:
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    ids = write_corpus(data / "corpus.jsonl", corpus)
    grades = read_grades(data / "qrels.tsv")

    def rate(of_query: dict[str, int], passages: Sequence[Any]) -> float:
        return ndcg(list(dict.fromkeys(ids[p.metadata["path"]] for p in passages)), of_query)

    return corpus, [
        Question(row["text"], partial(rate, grades[row["_id"]]))
        for row in read_lines(data / "queries.jsonl")
        if max(grades.get(row["_id"], {}).values(), default=0) > 0
    ]


def _answered(data: Path, work: Path, others: int | None) -> tuple[Path, list[Question]]:
    samples = read_samples(data / "questions.jsonl")
    articles = copy_articles(data / "articles", work / "articles", samples, others)

    def rate(sample: Any, passages: Sequence[Any]) -> float:
        first = [p for p in passages[:FIRST] if p.metadata["path"] == sample.source]
        return float(has_gold(sample, [p.page_content for p in first]))

    return articles, [Question(sample.question, partial(rate, sample)) for sample in samples]


def compare(asked: Sequence[tuple[Question, list[Any]]]) -> list[dict[str, Any]]:
    """The figures of every way, width and weight."""
    rated = {
        (name, width, weights): np.asarray(
            [q.rate(fuse([arm[:width] for arm in arms], way, weights)) for q, arms in asked]
        )
        for name, way in WAYS.items()
        for width in WIDTHS
        for weights in WEIGHTS
    }
    chosen = rated["distribution", 100, WEIGHTS[0]]
    return [
        {
            "way": name,
            "passages_of_each_arm": width,
            "weights": weights,
            "figure": interval(values),
            "folds": [round(float(fold.mean()), 4) for fold in np.array_split(values, FOLDS)],
            "over_the_products": interval(values - chosen),
        }
        for (name, width, weights), values in rated.items()
    ]


def main() -> None:
    """Print the figures, a way a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder described above")
    parser.add_argument("--others", type=int, help="articles beside those that answer; all")
    parser.add_argument("--work", type=Path, help="keep files and index here for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        asked = asyncio.run(ask(options.data, work.absolute(), options.others))
    for figures in compare(asked):
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
