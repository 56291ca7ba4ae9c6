"""How well passages are found: the product's own indexer and search over a set of judged queries.

    make bench-retrieval DATA=DIR

DIR is laid out as BEIR's data sets are (Thakur et al., 2021): ``corpus.jsonl`` with ``_id``,
``title`` and ``text``, ``queries.jsonl`` with ``_id`` and ``text``, and ``qrels.tsv`` with query,
document and grade, with or without a header, with or without trec's second column. Every document
becomes a Markdown file with its title for a heading, ``sync`` indexes the folder, and a document
counts as found where its best passage is. SciFact is one such set.

Prints JSON: the mean and 95 % bootstrap interval of nDCG@10 and recall@100 of dense search, of BM25
and of both fused, over the queries that have a relevant document.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.service import open_service
from backends.search import Mode
from backends.vector_store import VectorStore
from settings import Settings, load_settings

CUT = 10
DEPTH = 100
"""Documents: how far nDCG and recall look."""
RESAMPLES = 10_000
CONCURRENCY = 4
_FILES_PER_FOLDER = 1000
NAMES: Mapping[Mode, str] = {"dense": "dense", "sparse": "bm25", "hybrid": "hybrid"}

Grades = dict[str, dict[str, int]]
"""Query to document to grade; only grades above 0 count as relevant."""


class Unreadable(Exception):
    """The data are not laid out as expected; the message says where."""


class Measured(NamedTuple):
    """What each query scored, in one order for all ways to search."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line; each has an ``_id``, made a string.

    Raises:
        Unreadable: a line is no such object.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                row["_id"] = str(row["_id"])
            except (ValueError, KeyError, TypeError) as exc:
                raise Unreadable(
                    f"{path}, line {number}: no JSON object with an _id ({exc})"
                ) from exc
            yield row


def read_grades(path: Path) -> Grades:
    """The judgements of a file of tab-separated values.

    Raises:
        Unreadable: a line has neither three nor four columns, or no whole number for a grade.
    """
    grades: Grades = defaultdict(dict)
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        try:
            query, document, grade = columns if len(columns) == 3 else _without_second(columns)
            grades[query.strip()][document.strip()] = int(float(grade))
        except ValueError as exc:
            if number > 1:  # else a header
                raise Unreadable(f"{path}, line {number}: {line!r} is no judgement") from exc
    return grades


def _without_second(columns: list[str]) -> list[str]:
    query, _, document, grade = columns
    return [query, document, grade]


def write_corpus(path: Path, folder: Path) -> dict[str, str]:
    """Write a Markdown file for each document that says anything; returns ids by the files' names.

    Ids may hold anything, so files are named by number.
    """
    ids: dict[str, str] = {}
    for number, row in enumerate(read_lines(path)):
        title = " ".join(str(row.get("title") or "").split())
        text = str(row.get("text") or "").strip()
        if title or text:
            name = f"{number // _FILES_PER_FOLDER}/{number}.md"
            (folder / name).parent.mkdir(exist_ok=True)
            content = "\n\n".join(part for part in (title and f"# {title}", text) if part)
            (folder / name).write_bytes(f"{content}\n".encode(errors="replace"))
            ids[name] = row["_id"]
    return ids


async def best_documents(
    store: VectorStore, query: str, mode: Mode, ids: Mapping[str, str]
) -> list[str]:
    """The first ``DEPTH`` documents, each where its best passage is."""
    k = 4 * DEPTH
    while True:
        found = await store.search(query, k=k, mode=mode)
        documents = dict.fromkeys(ids[document.metadata["path"]] for document in found)
        if len(documents) >= DEPTH or len(found) < k:
            return list(documents)[:DEPTH]
        k *= 2


def ndcg(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """Of the first ``CUT``, gains as graded (Järvelin and Kekäläinen, 2002, as in trec_eval)."""
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    return _gain([max(grades.get(document, 0), 0) for document in ranking]) / _gain(ideal)


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:CUT]))


def recall(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """The part of the relevant documents that is in the first ``DEPTH``."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:DEPTH])) / len(relevant)


def interval(values: NDArray[np.float64]) -> dict[str, float]:
    """The mean of the queries with the 95 % interval of its bootstrap."""
    random = np.random.default_rng(0)
    means = np.asarray(
        [values[random.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    )
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": round(values.mean(), 4), "low": round(low, 4), "high": round(high, 4)}


async def measure(data: Path, work: Path) -> dict[str, Any]:
    """Index the corpus, ask every judged query in every way."""
    queries = {row["_id"]: str(row.get("text") or "") for row in read_lines(data / "queries.jsonl")}
    grades = read_grades(data / "qrels.tsv")
    judged = [
        query
        for query, of_query in grades.items()
        if queries.get(query, "").strip() and max(of_query.values()) > 0
    ]
    if not judged:
        raise Unreadable(f"{data}: no query of queries.jsonl has a relevant document in qrels.tsv")
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    ids = write_corpus(data / "corpus.jsonl", corpus)
    settings = own_settings(work)
    begun = time.monotonic()
    async with open_service(settings) as service:
        report = await service.indexing.run([corpus], _show)
        indexed = time.monotonic()
        store = service.backends.store
        measured = {
            NAMES[mode]: await _ask_all(store, mode, judged, queries, grades, ids) for mode in NAMES
        }
        passages = await store.count()
    return {
        "documents": len(ids),
        "failed": len(report.failed),
        "passages": passages,
        "queries": len(judged),
        "judged_queries_left_out": len(grades) - len(judged),
        "embeddings": _model(settings),
        "seconds": {
            "indexing": round(indexed - begun, 1),
            "searching": round(time.monotonic() - indexed, 1),
        },
        **_figures(measured),
    }


def own_settings(work: Path) -> Settings:
    """As configured, but for a store of its own: the corpus is nobody's documents."""
    settings = load_settings()
    own = {
        "data_dir": work / "data",
        "qdrant": settings.qdrant.model_copy(update={"url": None}),
        "tenants": {},
        "tenant": "default",
    }
    return settings.model_copy(update=own)


def _model(settings: Settings) -> str:
    chosen = settings.embeddings
    return f"{chosen.provider}: {chosen.model or 'its default model'}"


async def _ask_all(
    store: VectorStore,
    mode: Mode,
    judged: Sequence[str],
    queries: Mapping[str, str],
    grades: Grades,
    ids: Mapping[str, str],
) -> Measured:
    turn = asyncio.Semaphore(CONCURRENCY)

    async def ask(query: str) -> tuple[float, float]:
        async with turn:
            ranking = await best_documents(store, queries[query], mode, ids)
        return ndcg(ranking, grades[query]), recall(ranking, grades[query])

    print(f"\rasking {len(judged)} queries: {NAMES[mode]}".ljust(60), end="", file=sys.stderr)
    scores = np.asarray(await asyncio.gather(*(ask(query) for query in judged)))
    return Measured(scores[:, 0], scores[:, 1])


def _figures(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """The figures of each way, and how far hybrid is above the better of the other two."""
    better = max(measured["dense"], measured["bm25"], key=lambda way: float(way.ndcg.mean()))
    return {
        **{
            name: {f"ndcg@{CUT}": interval(way.ndcg), f"recall@{DEPTH}": interval(way.recall)}
            for name, way in measured.items()
        },
        "hybrid_over_the_better": {f"ndcg@{CUT}": interval(measured["hybrid"].ndcg - better.ndcg)},
    }


def _show(progress: Any) -> None:
    done = f"\rindexed {progress.files_done} of {progress.files_total} documents"
    print(done.ljust(60), end="", file=sys.stderr, flush=True)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder described above")
    parser.add_argument("--work", type=Path, help="keep files and index here for the next run")
    options = parser.parse_args()
    missing = [
        name
        for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv")
        if not (options.data / name).is_file()
    ]
    if missing:
        parser.error(f"{options.data} has no {', '.join(missing)}: see the top of this file")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            work = options.work or Path(temporary)
            result = asyncio.run(measure(options.data, work.absolute()))
    except Unreadable as exc:
        parser.error(str(exc))
    print("\r".ljust(60), end="\r", file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
