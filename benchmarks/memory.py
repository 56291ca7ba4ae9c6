"""Memory while corpora of growing size are indexed, and afterwards, each in a process of its own.

    python -m benchmarks.memory [--sizes 5 20 80] [--single 45]

The corpora are made: files of 50 kB with paragraphs of random words, and one single file of
``--single`` MB. A stand-in takes the place of the embedding model, because it is the pipeline, the
manifest and the store that must not grow with the corpus; the model's own memory is the same for
any corpus. Reported are the most memory of its own that the process had (``RssAnon``), the most of
mapped files (``RssFile``: the store's, which the system takes back when it needs the memory), both
of the process that builds the search index, and what a new process takes to open the index and to
search it. ``growth`` is how much more memory of its own the process had for the largest corpus than
for the next smaller one, for each MB more of text: a process that held the chunks would need more
than one MB for each.
"""

import argparse
import asyncio
import contextlib
import json
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
from indexer.replacing import hide_unsettled
from indexer.sync import sync
from settings import Settings

_FILE = 50_000
_MEGABYTE = 1_000_000
_EVERY_S = 0.05
_SEARCHES = 100
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


async def search(data_dir: Path) -> dict[str, float]:
    """Memory that a process takes to open what was indexed and to search it, in MB."""
    before = memory_mb()
    store = open_vector_store(Settings(data_dir=data_dir), StandIn())
    manifest = Manifest(data_dir)
    await store.open()
    await hide_unsettled(manifest, store.visibility)
    words = make_words()
    for place in range(_SEARCHES):
        assert await store.search(" ".join(words[place : place + 3]), k=10)
    after = memory_mb()
    await manifest.aclose()
    await store.aclose()
    return {
        "reopened_own_mb": round(after["anonymous"] - before["anonymous"], 1),
        "reopened_mapped_mb": round(after["files"] - before["files"], 1),
    }


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
    return {
        "files": found.added,
        "chunks": found.chunks_embedded + found.chunks_reused,
        "seconds": round(found.seconds, 1),
    }


def start(*arguments: object) -> subprocess.Popen[str]:
    """This module in a process of its own."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def watch(folder: Path, data_dir: Path) -> dict[str, float]:
    """Index a folder and note the most memory that this takes, then search it."""
    process = start("--index", folder, data_dir)
    most = dict.fromkeys(("own_mb", "mapped_mb", "builder_own_mb", "builder_mapped_mb"), 0.0)
    while process.poll() is None:
        for prefix, pids in (("", [process.pid]), ("builder_", children(process.pid))):
            for pid in pids:
                with contextlib.suppress(KeyError, ProcessLookupError, FileNotFoundError):
                    now = memory_mb(pid)  # unless it has just ended
                    for name, kind in (("own_mb", "anonymous"), ("mapped_mb", "files")):
                        most[prefix + name] = max(most[prefix + name], now[kind])
        time.sleep(_EVERY_S)
    return {**result(process), **most, **result(start("--search", data_dir))}


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    """What such a process says when it ends."""
    output, _ = process.communicate()
    assert process.returncode == 0, "it failed"
    found: dict[str, float] = json.loads(output)
    return found


def children(process: int) -> list[int]:
    """The processes that a process has started, and not those that these have."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    with contextlib.suppress(FileNotFoundError):  # a thread, or the process, has just ended
        return [int(child) for path in lists for child in path.read_text("ascii").split()]
    return []


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


_COLUMNS = {
    "chunks": "chunks",
    "seconds": "s",
    "own_mb": "own",
    "mapped_mb": "mapped",
    "builder_own_mb": "index builder's own",
    "builder_mapped_mb": "mapped",
    "reopened_own_mb": "reopened, own",
    "reopened_mapped_mb": "mapped",
}


def tabulate(figures: dict[str, Any]) -> None:
    """The figures for people."""
    measured = [*figures["by_mb"].items()]
    if single := figures.get("single"):
        measured.append((f"{single['mb']}, one file", single))
    rows = [(size, *(one[kind] for kind in _COLUMNS)) for size, one in measured]
    show("most memory in MB", ("MB of text", *_COLUMNS.values()), rows)


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 20, 80], help="in MB")
    parser.add_argument("--single", type=int, default=45, help="in MB; 0 leaves it out")
    parser.add_argument("--index", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.index:
        print(json.dumps(asyncio.run(index(*options.index))))
        return
    if options.search:
        print(json.dumps(asyncio.run(search(options.search))))
        return
    figures = measure(options.sizes, options.single)
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
