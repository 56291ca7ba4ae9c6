"""What the size of passages, their overlap and BM25's average length do to what is found.

    python -m benchmarks.chunking --data DIR --targets 100,150,200,240 --overlaps 0,0.25

DIR is laid out as for ``benchmarks.retrieval`` or as for ``benchmarks.paragraphs``. Targets are
tokens up to which paragraphs are packed together; the overlap is the most of a passage that the
sentence repeated from the one before may take, where one paragraph makes several passages. The
average is in words, less stop words. Each combination is indexed anew through the product's own
indexer. Prints a JSON object a line.
"""

import argparse
import asyncio
import json
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import backends.sparse
import indexer.splitting
import indexer.sync
from benchmarks import paragraphs, retrieval
from indexer.chunking import chunk


class Choice(NamedTuple):
    """One combination."""

    target_tokens: int
    overlap: float
    average_words: float


async def measure(data: Path, choice: Choice, others: int | None) -> dict[str, Any]:
    """The figures of one combination, which replaces the product's constants."""
    backends.sparse.AVERAGE_WORDS = choice.average_words
    vars(indexer.sync)["chunk"] = partial(chunk, target_tokens=choice.target_tokens)
    indexer.splitting.MAX_OVERLAP = choice.overlap
    with tempfile.TemporaryDirectory() as work:
        if (data / "corpus.jsonl").is_file():
            found = await retrieval.measure(data, Path(work))
        else:
            found = await paragraphs.measure(data, Path(work), others)
    return {**choice._asdict(), **found}


def main() -> None:
    """Print the figures of each pair as it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder described above")
    parser.add_argument("--targets", default="100,150,200,240", help="tokens, comma-separated")
    parser.add_argument("--overlaps", default="0.25", help="parts of 1, comma-separated")
    parser.add_argument("--averages", default="75", help="words, comma-separated")
    parser.add_argument("--others", type=int, help="articles beside those that answer; all")
    options = parser.parse_args()
    targets, overlaps, averages = (
        [float(part) for part in said.split(",")]
        for said in (options.targets, options.overlaps, options.averages)
    )
    for target, overlap, average in product(targets, overlaps, averages):
        choice = Choice(int(target), overlap, average)
        print(json.dumps(asyncio.run(measure(options.data, choice, options.others))), flush=True)


if __name__ == "__main__":
    main()
