"""Upserts into a store that holds many passages and into an empty one, batch by batch in turn.

    python -m benchmarks.upserts --data DIR [--held 90000] [--more 10000]

``DIR`` holds documents, which are cut as indexing does. Further passages are halves of two of them;
vectors are random, because storing does not depend on what they say. Whatever slows the machine
down meets both stores alike, so their ratio can be had on a busy one. It is measured twice:
through ``VectorStore``, from making the points to having them stored, and with the engine alone, in
one thread, which is given points that are made already. Prints JSON.
"""

import argparse
import asyncio
import gc
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge as edge

from backends.minilm.model import MiniLM
from backends.points import Point, to_struct
from backends.qdrant_edge.models import to_point
from backends.qdrant_edge.shard import FLUSH_EVERY_POINTS
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from benchmarks.corpora import distinct_chunks
from benchmarks.measuring import Cost, ratios, report, show, span, spread, tell, timed
from benchmarks.scale import Corpus, make_points
from settings import Settings

_BATCH = 256
_DIMENSION = 384


class Target(NamedTuple):
    """Something that points are put into."""

    put: Callable[[Sequence[Point], list[Cost]], Awaitable[None]]
    """Adds what it takes."""
    close: Callable[[], Awaitable[None]]


def make_corpus(data: Path, size: int) -> Corpus:
    """Passages with random unit vectors; no questions."""
    texts = distinct_chunks(data, MiniLM())[:size]
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(texts), (size - len(texts), 2)).tolist()
    halves = [
        texts[one][: len(texts[one]) // 2] + texts[two][len(texts[two]) // 2 :]
        for one, two in pairs
    ]
    vectors = rng.normal(size=(size, _DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Corpus(texts + halves, vectors, len(texts), [], vectors[:0])


async def open_store(data_dir: Path) -> Target:
    """Tandem's store, as indexing uses it."""
    store = open_vector_store(Settings(data_dir=data_dir), MiniLM())
    await store.prepare()

    async def put(points: Sequence[Point], costs: list[Cost]) -> None:
        with timed(costs):
            await store.upsert(points)

    return Target(put, store.aclose)


async def open_engine(data_dir: Path) -> Target:
    """The engine alone, with a shard that Tandem has made, in this thread; flushed as often."""
    await (await open_store(data_dir)).close()
    engine = await asyncio.to_thread(load, data_dir)
    written = count(_BATCH, _BATCH)

    async def put(points: Sequence[Point], costs: list[Cost]) -> None:
        made = [to_point(to_struct(point)) for point in points]
        with timed(costs):
            engine.update(edge.UpdateOperation.upsert_points(made))
            if next(written) % FLUSH_EVERY_POINTS < _BATCH:
                engine.flush()

    return Target(put, partial(asyncio.to_thread, engine.close))


def load(data_dir: Path) -> edge.EdgeShard:
    """The one shard of a data folder."""
    return edge.EdgeShard.load(str(next(data_dir.rglob("shard"))))


def batches(corpus: Corpus, places: Sequence[int]) -> Iterator[list[Point]]:
    """Whole batches of points, made as late as they are needed."""
    sparse = Bm25Sparse()
    for start in range(0, len(places) - _BATCH + 1, _BATCH):
        yield make_points(corpus, places[start : start + _BATCH], sparse)


async def measure(
    opened: Callable[[Path], Awaitable[Target]], corpus: Corpus, held: int
) -> dict[str, Any]:
    """Microseconds a point in both stores, and the ratio batch by batch."""
    order = np.random.default_rng(1).permutation(len(corpus.texts)).tolist()
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as work:
        full, empty = await opened(Path(work, "full")), await opened(Path(work, "empty"))
        for points in batches(corpus, order[:held]):
            await full.put(points, [])
        gc.collect()
        gc.freeze()  # as a command does; else the passages are looked through now and then
        into_full: list[Cost] = []
        into_empty: list[Cost] = []
        for number, points in enumerate(batches(corpus, order[held:])):
            turns = [(full, into_full), (empty, into_empty)]
            for target, costs in turns if number % 2 else reversed(turns):
                await target.put(points, costs)
        await full.close()
        await empty.close()
    return {
        kind: compare(
            [getattr(cost, kind) for cost in into_empty],
            [getattr(cost, kind) for cost in into_full],
        )
        for kind in Cost._fields
    }


def compare(empty: Sequence[float], full: Sequence[float]) -> dict[str, Any]:
    """Microseconds a point, and the full store's speed over the empty one's: batch by batch, and
    on the whole, the occasional flush included."""
    scale = 1e6 / _BATCH
    return {
        "empty_us": spread([scale * cost for cost in empty], 1),
        "full_us": spread([scale * cost for cost in full], 1),
        "ratio": ratios(empty, full),
        "ratio_of_sums": round(sum(empty) / sum(full), 3),
    }


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="a folder of documents")
    parser.add_argument("--held", type=int, default=90_000, help="passages in the full store")
    parser.add_argument("--more", type=int, default=10_000, help="passages put into both")
    options = parser.parse_args()
    corpus = make_corpus(options.data, options.held + options.more)
    figures: dict[str, Any] = {"benchmark": "upserts", "held": options.held, "goal": 0.9}
    for name, opened in (("store", open_store), ("engine", open_engine)):
        tell(f"filling the {name} ...")
        figures[name] = asyncio.run(measure(opened, corpus, options.held))
    rows = [
        (
            f"{name}, {kind}",
            *(span(figures[name][kind][of]) for of in ("empty_us", "full_us", "ratio")),
            figures[name][kind]["ratio_of_sums"],
        )
        for name in ("store", "engine")
        for kind in Cost._fields
    ]
    columns = ("", "µs a point, empty", "full", "empty over full", "of the sums")
    show("upserts", columns, rows)
    report(figures)


if __name__ == "__main__":
    main()
