"""Indexing end to end over the bare embedder, on the same chunks, in one process.

Rounds alternate, so that both meet the same state of the machine. Indexing means everything from
walking the folder to the last committed point, into a new store each time; the bare embedder gets
the same distinct chunks as one list, which it sorts by length. Prints JSON.

    python -m benchmarks.indexing --data DIR [--files N] [--rounds N]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.embeddings import EmbeddingModel, create_embeddings
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from benchmarks.corpora import MAX_BYTES, copy_files, distinct_chunks
from benchmarks.measuring import ratios, report, span, spread, tell
from indexer.manifest import Manifest
from indexer.progress import SyncReport
from indexer.sync import sync
from settings import Settings


async def index(folder: Path, embeddings: EmbeddingModel) -> SyncReport:
    """One sync of the folder into a new data folder."""
    with tempfile.TemporaryDirectory() as data_dir:
        store = open_vector_store(Settings(data_dir=Path(data_dir)), embeddings)
        manifest = Manifest(Path(data_dir))
        try:
            return await sync(
                [folder],
                store=store,
                embeddings=embeddings,
                sparse=Bm25Sparse(),
                manifest=manifest,
                max_file_bytes=MAX_BYTES,
            )
        finally:
            await manifest.aclose()
            await store.aclose()


async def embed(texts: Sequence[str], embeddings: EmbeddingModel) -> float:
    """Seconds for all texts."""
    started = time.perf_counter()
    await embeddings.aembed_documents(texts)
    return time.perf_counter() - started


async def measure(data: Path, *, files: int, rounds: int) -> dict[str, Any]:
    """Chunks per second of both, and the ratio of each round."""
    embeddings = create_embeddings(Settings().embeddings)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "corpus"
        await asyncio.to_thread(copy_files, data, folder, files)
        texts = await asyncio.to_thread(distinct_chunks, folder, embeddings)
        await embed(texts[:128], embeddings)
        bare, indexing = [], []
        for _ in range(rounds):
            bare.append(len(texts) / await embed(texts, embeddings))
            found = await index(folder, embeddings)
            assert found.chunks_embedded == len(texts), "indexing embedded other chunks"
            indexing.append(len(texts) / found.seconds)
    await embeddings.aclose()
    return {
        "benchmark": "indexing",
        "files": found.added,
        "failed": len(found.failed),
        "chunks": len(texts),
        "bare_chunks_per_s": spread(bare),
        "indexing_chunks_per_s": spread(indexing),
        "ratio": ratios(indexing, bare),
        "goal": 0.95,
    }


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="any folder of documents")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = options.data.resolve()
    figures = asyncio.run(measure(data, files=options.files, rounds=options.rounds))
    tell(f"indexing over the bare embedder: {span(figures['ratio'])}")
    report(figures)


if __name__ == "__main__":
    main()
