"""What questions of two parts find: searched as one, part by part, and both.

    python -m benchmarks.parts --data DIR

DIR is laid out as for ``benchmarks.answers``. Two of its questions make one, either of the same
article or of different ones, written as two sentences or joined by "and". A question counts when
passages that hold both paragraphs are among those found. Each way of searching is measured with the
same number of passages, for grading costs by the passage. With ``--extracts`` the extractive reader
answers, read as one question and part by part, and both answers must stand in what it quotes.
Prints JSON with 95 % bootstrap intervals.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from langchain_core.documents import Document

from api.service import Service, open_service
from backends.extractive import reader
from backends.extractive.parts import parts
from backends.vector_store import VectorStore
from benchmarks.answers import Sample, has_gold, is_cited, is_not_found, read_samples
from benchmarks.paragraphs import copy_articles
from benchmarks.retrieval import interval, own_settings
from graph.context import RagContext
from graph.state import RagOutput
from nodes import retrieval
from nodes.passages import distinct, in_turn

PASSAGES = (6, 9, 12)
"""How many are looked at; six is what a search fetches by default."""

Pair = tuple[Sample, Sample]


def pairs(samples: Sequence[Sample], *, same_article: bool) -> list[Pair]:
    """Each question with the next of its article, or with one half the set away."""
    if same_article:
        return [pair for pair in pairwise(samples) if pair[0].source == pair[1].source]
    half = len(samples) // 2
    return [
        pair
        for pair in zip(samples, [*samples[half:], *samples[:half]], strict=True)
        if pair[0].source != pair[1].source
    ]


def as_sentences(pair: Pair) -> str:
    """One after the other."""
    return f"{pair[0].question} {pair[1].question}"


def joined(pair: Pair) -> str:
    """As one sentence."""
    first, second = (sample.question.rstrip("? ") for sample in pair)
    return f"{first}, and {second[0].lower()}{second[1:]}?"


async def measure(
    data: Path, work: Path, others: int | None, limit: int | None, *, extracts: bool
) -> dict[str, Any]:
    """Index, then ask every pair in every way."""
    samples = read_samples(data / "questions.jsonl")
    articles = copy_articles(data / "articles", work / "articles", samples, others)
    figures: dict[str, Any] = {}
    async with open_service(own_settings(work)) as service:
        await service.indexing.run([articles])
        store = service.backends.store
        for kind in (True, False):
            chosen = pairs(samples, same_article=kind)[:limit]
            for wording in (as_sentences, joined):
                name = f"{'same article' if kind else 'different articles'}, {wording.__name__}"
                print(name, file=sys.stderr)
                asked = [(pair, wording(pair)) for pair in chosen]
                ask = partial(_answer_all, service) if extracts else partial(_search_all, store)
                figures[name] = await ask(asked)
    return figures


async def _search_all(store: VectorStore, asked: Sequence[tuple[Pair, str]]) -> dict[str, Any]:
    hits: dict[str, list[bool]] = {}
    split = 0
    for pair, question in asked:
        apart = parts(question)
        split += len(apart) == len(pair)
        whole, *of_parts = [
            distinct(await store.search(query, k=2 * max(PASSAGES)))
            for query in (question, *([part.alone for part in apart] or [question]))
        ]
        ways = {
            "as one": whole,
            "part by part": distinct(in_turn(of_parts)),
            "both": distinct(in_turn([whole, *of_parts])),
        }
        for way, found in ways.items():
            for count in PASSAGES:
                held = [_holds(found[:count], sample) for sample in pair]
                hits.setdefault(f"{way}, {count}", []).append(all(held))
    measured = {name: interval(np.asarray(values, float)) for name, values in hits.items()}
    return {"questions": len(asked), "split in two": split, **measured}


async def _answer_all(service: Service, asked: Sequence[tuple[Pair, str]]) -> dict[str, Any]:
    """What the graph that serves users answers from, with and without telling parts apart."""
    figures: dict[str, Any] = {"questions": len(asked)}
    for way, apart in (("as one", lambda _: []), ("part by part", parts)):
        cited: dict[str, list[bool]] = {"both": [], "neither": [], "not found": []}
        with patch.object(retrieval, "parts", apart), patch.object(reader, "parts", apart):
            for pair, question in asked:
                context = RagContext.of(service.settings)
                found = await service.graph.ainvoke({"question": question}, context=context)
                output = RagOutput(**found)  # type: ignore[typeddict-item]  # the graph's own type
                held = [is_cited(sample, output) for sample in pair]
                cited["both"].append(all(held))
                cited["neither"].append(not any(held))
                cited["not found"].append(is_not_found(output))
        figures[way] = {name: interval(np.asarray(each, float)) for name, each in cited.items()}
    return figures


def _holds(found: Sequence[Document], sample: Sample) -> bool:
    of_article = [p.page_content for p in found if p.metadata["path"] == sample.source]
    return has_gold(sample, of_article)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="articles/ and questions.jsonl")
    parser.add_argument("--others", type=int, help="articles beside those that answer; all")
    parser.add_argument("--extracts", action="store_true", help="measure answers, not searches")
    parser.add_argument("--limit", type=int, help="ask only the first so many of each kind")
    parser.add_argument("--work", type=Path, help="keep files and index here for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        result = asyncio.run(
            measure(
                options.data,
                work.absolute(),
                options.others,
                options.limit,
                extracts=options.extracts,
            )
        )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
