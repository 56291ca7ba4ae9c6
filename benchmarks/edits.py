"""Texts embedded after edits of real documents, over the fewest that any cut would have to embed.

A copy of a folder of Markdown files is indexed once. Then one file at a time is edited as people
edit (``benchmarks.edit_script``; the same edits for the same seed), and that file is synced. What
counts is how many texts the embedding model is asked for; so it is a stand-in that returns vectors
made from a hash, while tokens are counted by the real model's tokenizer. The store, the manifest
and the sync are the product's. ``benchmarks.fewest_chunks`` says what the minimum is. Prints JSON.

    python -m benchmarks.edits --data DIR [--edits N] [--seed N]
"""

import argparse
import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.minilm.model import DIMENSION, MiniLM
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from benchmarks.edit_script import EDITS, edited
from benchmarks.fewest_chunks import fewest_new_texts
from indexer.chunking import chunk
from indexer.formats.markdown import parse_markdown
from indexer.manifest import Manifest
from indexer.sync import sync
from settings import Settings

MAX_BYTES = 50_000_000
LEAST_BYTES = 1000
"""Smaller files are a single chunk or two, which any edit replaces."""


class CountingMiniLM(MiniLM):
    """Counts tokens as the model does, and embeds nothing: it remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        vectors: list[list[float]] = (
            np.random.default_rng(len(self.asked)).normal(size=(len(texts), DIMENSION)).tolist()
        )
        return vectors


class Corpus:
    """A folder, its index and the edits made to it."""

    def __init__(self, folder: Path, store: VectorStore, manifest: Manifest, seed: int) -> None:
        self._folder = folder
        self._store = store
        self._manifest = manifest
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._files = sorted(
            path for path in folder.rglob("*.md") if path.stat().st_size >= LEAST_BYTES
        )
        self.model = CountingMiniLM()

    async def sync(self, path: Path) -> int:
        """How many texts were embedded."""
        self.model.asked.clear()
        await sync(
            [path],
            store=self._store,
            embeddings=self.model,
            sparse=Bm25Sparse(),
            manifest=self._manifest,
            max_file_bytes=MAX_BYTES,
        )
        return len(self.model.asked)

    async def edit(self, kind: int) -> dict[str, Any]:
        """One edit of one file, and what it cost."""
        path, before, after = self._edited(kind)
        await asyncio.to_thread(path.write_text, after, encoding="utf-8")
        embedded = await self.sync(path)
        old, new = (parse_markdown(text, name=path.stem) for text in (before, after))
        fewest = fewest_new_texts(
            new,
            chunk(old, count_tokens=self.model.count_tokens, max_tokens=self.model.max_tokens),
            count_tokens=self.model.count_tokens,
            max_tokens=self.model.max_tokens,
        )
        # the product's own cut is one of all cuts
        return {"embedded": embedded, "minimum": min(fewest, embedded)}

    def _edited(self, kind: int) -> tuple[Path, str, str]:
        while True:
            path = self._chance.choice(self._files)
            before = path.read_text(encoding="utf-8")
            after = edited(before, EDITS[kind], self._chance)
            if after is not None:
                return path, before, after


async def measure(data: Path, *, edits: int, seed: int) -> dict[str, Any]:
    """Embedded and minimal texts, in all and by kind of edit."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "corpus"
        await asyncio.to_thread(shutil.copytree, data, folder)
        store = open_vector_store(Settings(data_dir=Path(temporary) / "data"), MiniLM())
        manifest = Manifest(Path(temporary) / "data")
        corpus = Corpus(folder, store, manifest, seed)
        try:
            texts = await corpus.sync(folder)
            kinds = [number % len(EDITS) for number in range(edits)]
            costs = [(EDITS[kind].__name__, await corpus.edit(kind)) for kind in kinds]
        finally:
            await manifest.aclose()
            await store.aclose()
    return {
        "benchmark": "edits",
        "texts_in_the_index": texts,
        "edits": edits,
        "seed": seed,
        **_sums([cost for _, cost in costs]),
        "kinds": {
            edit.__name__: _sums([cost for name, cost in costs if name == edit.__name__])
            for edit in EDITS
        },
    }


def _sums(costs: Sequence[dict[str, int]]) -> dict[str, Any]:
    embedded = sum(cost["embedded"] for cost in costs)
    minimum = sum(cost["minimum"] for cost in costs)
    return {
        "embedded": embedded,
        "minimum": minimum,
        "ratio": round(embedded / minimum, 3) if minimum else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of Markdown files")
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = asyncio.run(measure(options.data, edits=options.edits, seed=options.seed))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
