"""Indexing end to end over the bare embedder, on the same chunks, in one process.

Rounds alternate, so that both meet the same state of the machine. Indexing means everything from
walking the folder to the last committed point, from when on everything is found, into a new store
each time. Of 20,000 chunks and more, the search index is built then, which makes searches faster;
that is told apart. The bare embedder gets the same distinct chunks as one list, which it sorts by
length.

Processor time is measured as well, which a busy machine changes little: that of the embedder, and
that of everything else, with an embedder that knows all vectors. Prints JSON.

    python -m benchmarks.indexing --data DIR [--files N] [--rounds N]
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.embeddings import EmbeddingModel, create_embeddings
from backends.minilm.model import MiniLM
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from benchmarks.corpora import MAX_BYTES, copy_files, distinct_chunks
from benchmarks.measuring import Cost, ratios, report, span, spread, tell, timed
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


class Known(MiniLM):
    """The embedding model's tokenizer, with vectors that are known beforehand."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        super().__init__()
        self._known = vectors

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._known[text] for text in texts]


async def measure(data: Path, *, files: int, rounds: int) -> dict[str, Any]:
    """Chunks per second of both, the ratio of each round, and processor time."""
    embeddings = create_embeddings(Settings().embeddings)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "corpus"
        await asyncio.to_thread(copy_files, data, folder, files)
        texts = await asyncio.to_thread(distinct_chunks, folder, embeddings)
        await embeddings.aembed_documents(texts[:128])
        bare: list[Cost] = []
        indexing: list[Cost] = []
        beside: list[Cost] = []
        searchable: list[float] = []
        whole: list[float] = []
        for _ in range(rounds):
            with timed(bare):
                vectors = await embeddings.aembed_documents(texts)
            with timed(indexing):
                found = await index(folder, embeddings)
            searchable.append(found.seconds - found.optimizing_seconds)
            whole.append(found.seconds)
            assert found.chunks_embedded == len(texts), "indexing embedded other chunks"
            with timed(beside):
                await index(folder, Known(dict(zip(texts, vectors, strict=True))))
    await embeddings.aclose()
    bare_speeds = [len(texts) / cost.seconds for cost in bare]
    speeds = [len(texts) / taken for taken in searchable]
    thousands = len(texts) / 1000
    return {
        "benchmark": "indexing",
        "files": found.added,
        "failed": len(found.failed),
        "chunks": len(texts),
        "bare_chunks_per_s": spread(bare_speeds),
        "indexing_chunks_per_s": spread(speeds),
        "ratio": ratios(speeds, bare_speeds),
        "ratio_with_search_index": ratios([len(texts) / taken for taken in whole], bare_speeds),
        "goal": 0.95,
        "processor_s_per_1000_chunks": {
            "embedder": spread([cost.processor / thousands for cost in bare]),
            "indexing": spread([cost.processor / thousands for cost in indexing]),
            "beside_the_embedder": spread([cost.processor / thousands for cost in beside]),
        },
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
    for name, costs in figures["processor_s_per_1000_chunks"].items():
        tell(f"processor time for 1,000 chunks, {name.replace('_', ' ')}: {span(costs)} s")
    report(figures)


if __name__ == "__main__":
    main()
