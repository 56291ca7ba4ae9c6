"""The embedded store beside ``qdrant_client``'s local mode: storing and searching, side by side.

All are called through the same methods with the same points, in alternating rounds, so that a busy
moment hits all. The local mode is measured on disk, where it keeps points as the embedded store
does, and in memory, where it loses them at the end. Prints medians, the range over the rounds and
the ratios as JSON.

    python -m benchmarks.edge_store [--points 20000] [--rounds 3]
"""

import argparse
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from backends.qdrant_edge.client import EdgeClient
from benchmarks.measuring import report, spread

DIMENSION = 384
BATCH = 256
QUERIES = 50
NAME = "points"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--points", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")  # the local mode warns about its own size
    rng = np.random.default_rng(0)
    points = _points(rng, options.points)
    queries = rng.normal(size=(QUERIES, DIMENSION)).tolist()
    rounds: dict[str, list[dict[str, float]]] = {"edge": [], "local_disk": [], "local_memory": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds["edge"].append(_measure(EdgeClient(Path(folder)), points, queries))
            local = QdrantClient(path=str(Path(folder) / "local"))
            rounds["local_disk"].append(_measure(local, points, queries))
            memory = QdrantClient(":memory:")
            rounds["local_memory"].append(_measure(memory, points, queries))
    report(_figures(options.points, rounds))


def _points(rng: np.random.Generator, count: int) -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=str(uuid.UUID(int=number)),
            vector={"dense": vector},
            payload={"page_content": f"passage {number}", "metadata": {"source": "a.md"}},
        )
        for number, vector in enumerate(rng.normal(size=(count, DIMENSION)).tolist())
    ]


def _measure(
    client: Any, points: list[models.PointStruct], queries: list[list[float]]
) -> dict[str, float]:
    vectors = {"dense": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)}
    client.create_collection(NAME, vectors_config=vectors)
    started = time.perf_counter()
    for start in range(0, len(points), BATCH):
        client.upsert(NAME, points[start : start + BATCH])
    stored = time.perf_counter() - started
    assert client.count(NAME).count == len(points)
    times = []
    for query in queries:
        started = time.perf_counter()
        found = client.query_points(NAME, query=query, using="dense", limit=10)
        times.append(time.perf_counter() - started)
        assert len(found.points) == 10
    client.close()
    return {"upserts_per_s": len(points) / stored, "query_ms": 1000 * median(times)}


def _figures(points: int, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"benchmark": "edge_store", "points": points, "dimension": DIMENSION}
    for name, measured in rounds.items():
        figures[name] = {
            figure: spread([one[figure] for one in measured], 2)
            for figure in ("upserts_per_s", "query_ms")
        }
    for peer in ("local_disk", "local_memory"):
        figures[f"edge_over_{peer}"] = {
            "upserts": _ratio(figures["edge"], figures[peer], "upserts_per_s"),
            "queries": _ratio(figures[peer], figures["edge"], "query_ms"),
        }
    return figures


def _ratio(first: Any, second: Any, figure: str) -> float:
    ratio: float = first[figure]["median"] / second[figure]["median"]
    return round(ratio, 1)


if __name__ == "__main__":
    main()
