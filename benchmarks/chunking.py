"""What the size of passages and their overlap do to what is found.

    python -m benchmarks.chunking --data DIR --targets 100,150,200,240 --overlaps 0,0.25

DIR is laid out as for ``benchmarks.retrieval`` or as for ``benchmarks.paragraphs``. Targets are
tokens up to which paragraphs are packed together; the overlap is the most of a passage that the
sentence repeated from the one before may take, where one paragraph makes several passages. Each
pair is indexed anew through the product's own indexer. Prints a JSON object a line.
"""

import argparse
import asyncio
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import indexer.splitting
import indexer.sync
from benchmarks import paragraphs, retrieval
from indexer.chunking import chunk


async def measure(data: Path, target: int, overlap: float, others: int | None) -> dict[str, Any]:
    """The figures of one pair, the chunker's constants replaced for as long as it takes."""
    vars(indexer.sync)["chunk"] = partial(chunk, target_tokens=target)
    indexer.splitting.MAX_OVERLAP = overlap
    with tempfile.TemporaryDirectory() as work:
        if (data / "corpus.jsonl").is_file():
            found = await retrieval.measure(data, Path(work))
        else:
            found = await paragraphs.measure(data, Path(work), others)
    return {"target_tokens": target, "overlap": overlap, **found}


def main() -> None:
    """Print the figures of each pair as it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder described above")
    parser.add_argument("--targets", default="100,150,200,240", help="tokens, comma-separated")
    parser.add_argument("--overlaps", default="0.25", help="parts of 1, comma-separated")
    parser.add_argument("--others", type=int, help="articles beside those that answer; all")
    options = parser.parse_args()
    for target in map(int, options.targets.split(",")):
        for overlap in map(float, options.overlaps.split(",")):
            found = asyncio.run(measure(options.data, target, overlap, options.others))
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
