"""The embedded store at 100,000 passages: storing, searching, recall, memory, reopening.

    python -m benchmarks.scale --data DIR [--questions FILE] [--chunks 100000] [--real 20000]
                               [--cache FILE]

``DIR`` holds documents; they are cut and embedded as indexing does, until there are ``--real``
passages. Further ones are derived from these: between a passage and one of its ten nearest
neighbours, with a little noise, as the text half of each. ``FILE`` holds a question a line, as JSON
with the key ``question``; without it every fortieth passage's last sentence asks. ``--cache`` keeps
what the embedding model made, which takes the most time, for the next run.

Everything goes through ``VectorStore``, as in the product: ``upsert``, ``optimize``, ``search``.
Recall is that of the dense arm against exact search, once over everything and once over the real
passages alone, in a store of their own. The store is measured in a process of its own, so that the
memory is its own.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backends.embeddings import EmbeddingModel, create_embeddings
from backends.minilm.model import MiniLM
from backends.points import Point
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from benchmarks.corpora import distinct_chunks
from benchmarks.measuring import memory_mb, percentiles, report, show, size_mb, tell
from settings import Settings

K = 10
QUESTIONS = 300
GOALS = {"hybrid_ms_p50": 5, "recall": 0.98, "last_tenth_over_first": 0.9}
_BATCH = 512
_TENTHS = 10
_NEIGHBOURS = 10
Matrix = npt.NDArray[np.float32]


class Corpus(NamedTuple):
    """Passages with unit vectors, the real ones first, and questions with theirs."""

    texts: list[str]
    vectors: Matrix
    real: int
    questions: list[str]
    question_vectors: Matrix


class Precomputed(MiniLM):
    """The embedding model, with the questions' vectors known beforehand where that is asked for:
    so that a search can be timed without its embedding."""

    def __init__(self, known: dict[str, list[float]]) -> None:
        super().__init__()
        self._known = known
        self.is_known = True

    async def aembed_query(self, text: str) -> list[float]:
        return self._known[text] if self.is_known else await super().aembed_query(text)


async def embed(
    texts: list[str], questions: list[str], model: EmbeddingModel
) -> tuple[Matrix, Matrix]:
    """What the model makes of them; closes it."""
    tell(f"embedding {len(texts)} passages ...")
    vectors = await model.aembed_documents(texts)
    asked = [await model.aembed_query(question) for question in questions]
    await model.aclose()
    return np.array(vectors, dtype=np.float32), np.array(asked, dtype=np.float32)


def read_questions(path: Path | None, texts: Sequence[str], count: int) -> list[str]:
    """Questions from a file, or sentences that stand for them."""
    if path is None:
        return [text.rstrip(". ").rpartition(". ")[2] for text in texts[::40]][:count]
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["question"] for line in itertools.islice(lines, count)]


def make_corpus(options: argparse.Namespace) -> Corpus:
    """Real passages, and derived ones up to the number wanted."""
    cache: Path | None = options.cache
    if cache is not None and cache.exists():
        kept = np.load(cache, allow_pickle=False)
        texts, questions = kept["texts"].tolist(), kept["questions"].tolist()
        vectors, asked = kept["vectors"], kept["asked"]
        tell(f"{len(texts)} embedded passages from {cache}")
    else:
        model = create_embeddings(Settings().embeddings)
        texts = distinct_chunks(options.data, model)[: options.real]
        questions = read_questions(options.questions, texts, QUESTIONS)
        vectors, asked = asyncio.run(embed(texts, questions, model))
        if cache is not None:
            np.savez(cache, texts=texts, questions=questions, vectors=vectors, asked=asked)
    texts, vectors = texts[: options.real], vectors[: options.real]
    real = min(len(texts), options.chunks)
    tell("deriving further passages ...")
    texts, vectors = derive(texts, vectors, options.chunks)
    return Corpus(texts, vectors, real, questions, asked)


def derive(texts: list[str], vectors: Matrix, count: int) -> tuple[list[str], Matrix]:
    """``count`` passages: those given, then mixtures of each with one of its nearest."""
    rng = np.random.default_rng(0)
    near = nearest(vectors, _NEIGHBOURS + 1, of=vectors)[:, 1:]
    rows = np.arange(len(texts))
    all_texts, all_vectors = list(texts), [vectors]
    while len(all_texts) < count:
        other = near[rows, rng.integers(0, near.shape[1], len(rows))]
        share = np.asarray(rng.uniform(0.2, 0.5, (len(rows), 1)), dtype=np.float32)
        mixed = (1 - share) * vectors + share * vectors[other]
        mixed += np.asarray(rng.normal(scale=0.01, size=mixed.shape), dtype=np.float32)
        all_vectors.append(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
        halves = ((texts[row], texts[place]) for row, place in zip(rows, other, strict=True))
        all_texts += [a[: len(a) // 2] + b[len(b) // 2 :] for a, b in halves]
    return all_texts[:count], np.concatenate(all_vectors)[:count]


def nearest(queries: Matrix, count: int, *, of: Matrix) -> npt.NDArray[np.intp]:
    """The places of the ``count`` nearest vectors of each query, nearest first."""
    found = []
    for start in range(0, len(queries), 1000):
        scores = queries[start : start + 1000] @ of.T
        best = np.argpartition(-scores, min(count, scores.shape[1] - 1), axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def make_points(corpus: Corpus, places: Sequence[int], sparse: Bm25Sparse) -> list[Point]:
    """Points like those of indexing; the id is the place."""
    texts = [corpus.texts[place] for place in places]
    return [
        Point(
            id=str(uuid.UUID(int=place)),
            text=text,
            metadata={
                "tenant": "default",
                "source": f"articles/{place // 40}.txt",
                "root": "/articles",
                "path": f"{place // 40}.txt",
                "folders": ["articles"],
                "type": "text",
                "modified_at": 1_700_000_000.0,
                "content_hash": f"{place:032x}",
                "position": place % 40,
            },
            dense=corpus.vectors[place].tolist(),
            sparse=keywords,
        )
        for place, text, keywords in zip(places, texts, sparse.embed_documents(texts), strict=True)
    ]


async def store_all(store: VectorStore, corpus: Corpus, count: int) -> list[float]:
    """Upserts a second in each tenth, in random order; making the points is not counted."""
    order = np.random.default_rng(1).permutation(count).tolist()
    sparse = Bm25Sparse()
    speeds = []
    for tenth in np.array_split(order, _TENTHS):
        seconds = 0.0
        for start in range(0, len(tenth), _BATCH):
            points = make_points(corpus, tenth[start : start + _BATCH].tolist(), sparse)
            started = time.perf_counter()
            await store.upsert(points)
            seconds += time.perf_counter() - started
        speeds.append(len(tenth) / seconds)
    return speeds


async def search_all(store: VectorStore, questions: Sequence[str], mode: Any) -> dict[str, Any]:
    """Milliseconds of a search."""
    times = []
    for question in questions:
        started = time.perf_counter()
        found = await store.search(question, k=K, mode=mode)
        times.append(1000 * (time.perf_counter() - started))
        assert found or mode == "sparse", f"nothing found for {question!r}"
    return percentiles(times)


async def recall(store: VectorStore, corpus: Corpus, count: int) -> float:
    """The share of the exact ten nearest that the dense arm finds, over all questions."""
    expected = nearest(corpus.question_vectors, K, of=corpus.vectors[:count])
    shares = []
    for question, places in zip(corpus.questions, expected, strict=True):
        found = await store.search(question, k=K, mode="dense")
        ids = {uuid.UUID(str(document.id)).int for document in found}
        shares.append(len(ids & set(places.tolist())) / K)
    return round(statistics.fmean(shares), 4)


async def search_while(store: VectorStore, questions: Sequence[str]) -> dict[str, Any]:
    """How long optimising takes, and hybrid searches meanwhile."""
    started = time.perf_counter()
    building = asyncio.create_task(store.optimize())
    times = []
    for question in itertools.cycle(questions):
        if building.done():
            break
        asked = time.perf_counter()
        await store.search(question, k=K)
        times.append(1000 * (time.perf_counter() - asked))
        await asyncio.sleep(0.02)
    await building
    seconds = round(time.perf_counter() - started, 2)
    return {"seconds": seconds, "searches": len(times), "search_ms": percentiles(times)}


async def measure(corpus: Corpus, count: int, data_dir: Path) -> dict[str, Any]:
    """A store of the first ``count`` passages."""
    known = dict(zip(corpus.questions, corpus.question_vectors.tolist(), strict=True))
    model = Precomputed(known)
    settings = Settings(data_dir=data_dir)
    store = open_vector_store(settings, model)
    await store.prepare()
    idle = memory_mb()
    tell(f"storing {count} passages ...")
    tenths = await store_all(store, corpus, count)
    figures: dict[str, Any] = {
        "passages": count,
        "upserts_per_s": [round(speed) for speed in tenths],
        "exact_hybrid_ms": await search_all(store, corpus.questions, "hybrid"),
        "optimizing": await search_while(store, corpus.questions),
    }
    await store.aclose()
    started = time.perf_counter()
    store = open_vector_store(settings, model)
    figures["reopening_s"] = round(time.perf_counter() - started, 3)
    figures["recall"] = await recall(store, corpus, count)
    for mode in ("hybrid", "dense", "sparse"):
        figures[f"{mode}_ms"] = await search_all(store, corpus.questions, mode)
    model.is_known = False
    await model.aembed_query("load the model")
    figures["hybrid_with_embedding_ms"] = await search_all(store, corpus.questions, "hybrid")
    figures["disk_mb"] = size_mb(data_dir)
    await store.aclose()
    await model.aclose()
    figures["memory_before_mb"] = idle
    return figures


async def storing(corpus: Corpus, count: int, data_dir: Path) -> dict[str, Any]:
    """Storing alone, into a store of its own."""
    store = open_vector_store(Settings(data_dir=data_dir), Precomputed({}))
    await store.prepare()
    tell(f"storing {count} passages once more ...")
    tenths = await store_all(store, corpus, count)
    await store.aclose()
    return {"upserts_per_s": [round(speed) for speed in tenths]}


def over_first(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """How fast the last tenth is stored beside the first: single tenths vary, so over rounds."""
    found = [tenths[-1] / tenths[0] for tenths in rounds]
    return {
        "median": round(statistics.median(found), 3),
        "min": round(min(found), 3),
        "max": round(max(found), 3),
    }


async def reopen(corpus: Corpus, data_dir: Path) -> dict[str, Any]:
    """Memory of a process that only opens the store and searches it, without the model."""
    known = dict(zip(corpus.questions, corpus.question_vectors.tolist(), strict=True))
    before = memory_mb()
    store = open_vector_store(Settings(data_dir=data_dir), Precomputed(known))
    await search_all(store, corpus.questions, "hybrid")
    after = memory_mb()
    await store.aclose()
    return {name: round(after[name] - before[name], 1) for name in ("anonymous", "files")}


def in_child(work: Any, *arguments: Any) -> dict[str, Any]:
    """What a coroutine returns in a new process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        found: dict[str, Any] = pool.apply(_run, (work, arguments))
    return found


def _run(work: Any, arguments: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = asyncio.run(work(*arguments))
    return found


def tabulate(figures: dict[str, Any]) -> None:
    """The figures for people."""
    columns = ("", "all", "real passages only")
    stores = (figures["all"], figures["real"])
    lines: dict[str, Callable[[dict[str, Any]], object]] = {
        "passages": lambda f: f["passages"],
        "upserts/s, first and last tenth": lambda f: " ".join(
            f"{statistics.median(r[n] for r in f['upserts_per_s']):,.0f}" for n in (0, -1)
        ),
        "last over first": lambda f: f["last_tenth_over_first"]["median"],
        "its lowest and highest": lambda f: "{min} {max}".format_map(f["last_tenth_over_first"]),
        "optimising, s": lambda f: f["optimizing"]["seconds"],
        "hybrid meanwhile, ms p50, p95": lambda f: _pair(f["optimizing"]["search_ms"]),
        "hybrid before, ms p50, p95": lambda f: _pair(f["exact_hybrid_ms"]),
        "hybrid after, ms p50, p95": lambda f: _pair(f["hybrid_ms"]),
        "with its embedding": lambda f: _pair(f["hybrid_with_embedding_ms"]),
        f"recall@{K}": lambda f: f["recall"],
        "reopening, s": lambda f: f["reopening_s"],
        "memory of a reopened store, MB": lambda f: f["reopened_memory_mb"]["anonymous"],
        "its mapped files, MB": lambda f: f["reopened_memory_mb"]["files"],
        "disk, MB": lambda f: f["disk_mb"],
    }
    rows = [(name, *(line(store) for store in stores)) for name, line in lines.items()]
    show("embedded store", columns, rows)


def _pair(figures: dict[str, float]) -> str:
    return f"{figures['p50']:.2f} {figures['p95']:.2f}"


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="a folder of documents")
    parser.add_argument("--questions", type=Path, help="JSON lines with the key question")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--real", type=int, default=20_000)
    parser.add_argument("--cache", type=Path, help="keeps what was embedded: a .npz file")
    parser.add_argument("--rounds", type=int, default=5, help="of storing, in a new store each")
    options = parser.parse_args()
    corpus = make_corpus(options)
    figures: dict[str, Any] = {"benchmark": "scale", "k": K, "goals": GOALS}
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as work:
        for name, count in (("real", corpus.real), ("all", len(corpus.texts))):
            data_dir = Path(work, name)
            figures[name] = in_child(measure, corpus, count, data_dir)
            figures[name]["reopened_memory_mb"] = in_child(reopen, corpus, data_dir)
            rounds = [figures[name]["upserts_per_s"]]
            for number in range(1, options.rounds):
                again = in_child(storing, corpus, count, Path(work, f"{name}-{number}"))
                rounds.append(again["upserts_per_s"])
            figures[name]["upserts_per_s"] = rounds
            figures[name]["last_tenth_over_first"] = over_first(rounds)
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
