"""How often the paragraph that answers is among the first passages: dense, BM25 and both.

    make bench-paragraphs DATA=DIR

DIR is laid out as for ``benchmarks.answers``. A question counts when a passage among the first five
holds its paragraph, or is the piece of it with the answer. ``either`` counts the questions for
which dense search or BM25 has it: no fusion that only orders what the two found first can be
expected to do better. Prints JSON with 95 % bootstrap intervals.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.service import open_service
from backends.search import Mode
from backends.vector_store import VectorStore
from benchmarks.answers import Sample, has_gold, read_samples
from benchmarks.retrieval import NAMES, interval, own_settings

FIRST = 5

Hits = NDArray[np.float64]
"""1.0 for each question whose paragraph was found, else 0.0."""


async def measure(data: Path, work: Path, others: int | None) -> dict[str, Any]:
    """Index the articles that answer and so many others, ask everything in every way."""
    samples = read_samples(data / "questions.jsonl")
    articles = copy_articles(data / "articles", work / "articles", samples, others)
    async with open_service(own_settings(work)) as service:
        await service.indexing.run([articles])
        store = service.backends.store
        hits = {NAMES[mode]: await _ask_all(store, samples, mode) for mode in NAMES}
        passages = await store.count()
    return {
        "articles": len(list(articles.iterdir())),
        "passages": passages,
        "questions": len(samples),
        "first": FIRST,
        **_figures(hits),
    }


def copy_articles(
    source: Path, target: Path, samples: Sequence[Sample], others: int | None
) -> Path:
    """All articles, or those that answer and every n-th of the rest."""
    target.mkdir(parents=True, exist_ok=True)
    answering = {sample.source for sample in samples}
    rest = sorted(path for path in source.iterdir() if path.name not in answering)
    chosen = rest if others is None else rest[:: max(1, len(rest) // max(1, others))][:others]
    for path in [*(source / name for name in sorted(answering)), *chosen]:
        shutil.copy2(path, target)
    return target


async def _ask_all(store: VectorStore, samples: Sequence[Sample], mode: Mode) -> Hits:
    hits = []
    for number, sample in enumerate(samples, 1):
        found = await store.search(sample.question, k=FIRST, mode=mode)
        of_article = [
            passage.page_content for passage in found if passage.metadata["path"] == sample.source
        ]
        hits.append(has_gold(sample, of_article))
        print(f"\r{mode}: asked {number}/{len(samples)} ", end="", file=sys.stderr)
    return np.asarray(hits, dtype=np.float64)


def _figures(hits: Mapping[str, Hits]) -> dict[str, Any]:
    better = max(hits["dense"], hits["bm25"], key=lambda found: float(found.mean()))
    either = np.maximum(hits["dense"], hits["bm25"])
    return {
        **{name: interval(found) for name, found in hits.items()},
        "either": interval(either),
        "hybrid_over_the_better": interval(hits["hybrid"] - better),
        "either_over_the_better": interval(either - better),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="articles/ and questions.jsonl")
    parser.add_argument("--others", type=int, help="articles beside those that answer; all")
    parser.add_argument("--work", type=Path, help="keep files and index here for the next run")
    options = parser.parse_args()
    if not (options.data / "questions.jsonl").is_file() or not (options.data / "articles").is_dir():
        parser.error(f"{options.data} must hold articles/ and questions.jsonl")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        result = asyncio.run(measure(options.data, work.absolute(), options.others))
    print(file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
