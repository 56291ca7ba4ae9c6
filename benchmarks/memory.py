"""Memory while corpora of growing size are indexed, each in a process of its own.

    python -m benchmarks.memory [--sizes 5 20 80] [--single 45]

The corpora are made: files of 50 kB with paragraphs of random words, and one single file of
``--single`` MB. A stand-in takes the place of the embedding model, because it is the pipeline, the
manifest and the store that must not grow with the corpus; the model's own memory is the same for
any corpus. Reported are the most memory of its own that the process had (``RssAnon``), the most of
mapped files (``RssFile``: the store's, which the system takes back when it needs the memory) and
the peak of the process that builds the search index. ``growth`` is how much more memory of its own
the process had for the largest corpus than for the next smaller one, for each MB more of text: a
process that held the chunks would need more than one MB for each.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from benchmarks.corpora import MAX_BYTES, make_prose
from benchmarks.measuring import memory_mb, report, show, tell
from benchmarks.peers import ROOT
from benchmarks.stand_in import StandIn
from indexer.manifest import Manifest
from indexer.sync import sync
from settings import Settings

_FILE = 50_000
_MEGABYTE = 1_000_000
_EVERY_S = 0.05
GOAL = 0.2


def make_corpus(folder: Path, megabytes: int, *, files: int | None = None) -> None:
    """Text files with about that many MB in all."""
    folder.mkdir()
    words = make_words()
    files = files or max(1, megabytes * _MEGABYTE // _FILE)
    for number in range(files):
        with (folder / f"{number:06d}.txt").open("w", encoding="utf-8") as file:
            file.writelines(make_prose(words, megabytes * _MEGABYTE // files, seed=number))


def make_words() -> list[str]:
    """Some thousand words, as they stand in the project's own documents."""
    text = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    return sorted({word for word in text.split() if word.isalpha()})


async def index(folder: Path, data_dir: Path) -> dict[str, float]:
    """Index a folder; how much there was, and how long it took."""
    model = StandIn()
    store = open_vector_store(Settings(data_dir=data_dir), model)
    manifest = Manifest(data_dir)
    try:
        found = await sync(
            [folder],
            store=store,
            embeddings=model,
            sparse=Bm25Sparse(),
            manifest=manifest,
            max_file_bytes=MAX_BYTES,
        )
    finally:
        await manifest.aclose()
        await store.aclose()
    assert not found.failed, found.failed
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "files": found.added,
        "chunks": found.chunks_embedded + found.chunks_reused,
        "seconds": round(found.seconds, 1),
        "other_processes_mb": round(children * 1024 / _MEGABYTE, 1),
    }


def watch(folder: Path, data_dir: Path) -> dict[str, float]:
    """Index a folder in a process of its own, and note the most memory that it had."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "benchmarks.memory", "--index", str(folder), str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    most = {"anonymous": 0.0, "files": 0.0}
    while process.poll() is None:
        try:
            now = memory_mb(process.pid)
        except (KeyError, ProcessLookupError, FileNotFoundError):
            break  # it has just ended
        most = {kind: max(most[kind], now[kind]) for kind in most}
        time.sleep(_EVERY_S)
    output, _ = process.communicate()
    assert process.returncode == 0, "indexing failed"
    found: dict[str, float] = json.loads(output)
    return {**found, "own_mb": most["anonymous"], "mapped_mb": most["files"]}


def measure(sizes: list[int], single: int) -> dict[str, Any]:
    """The curve, and the single large file."""
    curve: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as work:
        for size in sorted(sizes):
            tell(f"indexing {size} MB ...")
            make_corpus(folder := Path(work, f"corpus-{size}"), size)
            curve[size] = watch(folder, Path(work, f"data-{size}"))
        figures: dict[str, Any] = {"benchmark": "memory", "by_mb": curve, "goal": GOAL}
        if len(curve) > 1:
            *_, before, last = curve
            more = curve[last]["own_mb"] - curve[before]["own_mb"]
            figures["growth"] = round(more / (last - before), 3)
        if single:
            tell(f"indexing one file of {single} MB ...")
            make_corpus(folder := Path(work, "single"), single, files=1)
            figures["single"] = {"mb": single, **watch(folder, Path(work, "data-single"))}
    return figures


def tabulate(figures: dict[str, Any]) -> None:
    """The figures for people."""
    measured = [*figures["by_mb"].items()]
    if single := figures.get("single"):
        measured.append((f"{single['mb']}, one file", single))
    kinds = ("files", "chunks", "seconds", "own_mb", "mapped_mb", "other_processes_mb")
    rows = [(size, *(one[kind] for kind in kinds)) for size, one in measured]
    columns = ("MB of text", "files", "chunks", "s", "own MB", "mapped MB", "index builder MB")
    show("most memory while indexing", columns, rows)


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 20, 80], help="in MB")
    parser.add_argument("--single", type=int, default=45, help="in MB; 0 leaves it out")
    parser.add_argument("--index", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index:
        print(json.dumps(asyncio.run(index(*options.index))))
        return
    figures = measure(options.sizes, options.single)
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
