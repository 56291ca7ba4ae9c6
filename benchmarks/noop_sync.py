"""A sync that finds nothing to do: beside a bare walk of the same tree, and beside LangChain.

    python -m benchmarks.noop_sync (--data DIR | --make 38000) [--peer PYTHON] [--rounds N]

The folder is indexed once, with a stand-in for the embedding model: it plays no part when nothing
has changed. Then rounds alternate between the walk (``os.scandir`` and ``stat`` of every file) and
the sync, through the same ``indexer.sync.sync`` that the command and the server call. Each sync is
watched: it must open no file of the folder but ignore files, and leave every file of the vector
store as it was, or the benchmark fails. ``written_bytes`` is what it wrote elsewhere.

``PYTHON`` is the Python of an environment made for the peer, ``index()`` with ``SQLRecordManager``
on its documented path (``benchmarks/noop_sync_peer.py``)::

    python3 -m venv peer
    peer/bin/pip install langchain-classic langchain-community langchain-qdrant pydantic-settings

The peer loads, splits and hashes every file each time. It is measured on the first
``--peer-files`` files, since its first run stores them at the speed of its local store; its files
a second do not rise with more files, so the ratio is not to its disadvantage.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from benchmarks.corpora import MAX_BYTES, copy_files, make_small_files
from benchmarks.measuring import ratios, report, show, span, spread, tell
from benchmarks.peers import Peer
from benchmarks.stand_in import StandIn
from indexer.ignoring import IGNORE_FILES
from indexer.manifest import Manifest
from indexer.progress import SyncReport
from indexer.sync import sync
from settings import Settings

GOALS = {"over_walk": 0.5, "over_langchain": 20}


class Indexer:
    """Tandem with a data folder of its own."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder = folder
        self._model = StandIn()
        self._store: VectorStore = open_vector_store(Settings(data_dir=data_dir), self._model)
        self._manifest = Manifest(data_dir)

    async def sync(self) -> SyncReport:
        """One sync of the folder."""
        return await sync(
            [self.folder],
            store=self._store,
            embeddings=self._model,
            sparse=Bm25Sparse(),
            manifest=self._manifest,
            max_file_bytes=MAX_BYTES,
        )

    async def close(self) -> None:
        """Let go of the data folder."""
        await self._manifest.aclose()
        await self._store.aclose()


class Watcher:
    """Which files of a folder Python opens, while it looks; there is no taking a hook away."""

    def __init__(self, folder: Path) -> None:
        self._below = f"{folder}{os.sep}"
        self._opened: list[str] | None = None
        sys.addaudithook(self._note)

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[str]]:
        """The files opened within the block, ignore files left out."""
        opened: list[str] = []
        self._opened = opened
        try:
            yield opened
        finally:
            self._opened = None

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or self._opened is None or not isinstance(arguments[0], str | bytes):
            return
        path = os.fsdecode(arguments[0])
        if path.startswith(self._below) and os.path.basename(path) not in IGNORE_FILES:  # noqa: PTH119 - called for each open
            self._opened.append(path)


def walk(folder: Path) -> int:
    """Lists and stats everything below a folder, and counts the files."""
    files = 0
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    files += 1
    return files


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


async def measure_ours(indexer: Indexer, vectors: Path, rounds: int) -> dict[str, list[float]]:
    """Of each round: files a second of the walk and of the sync, the processor's seconds of the
    sync, and the bytes that it wrote."""
    watcher = Watcher(indexer.folder)
    wrote: list[float] = []
    walks, syncs, cpu = [], [], []
    for _ in range(rounds):
        started = time.perf_counter()
        files = walk(indexer.folder)
        walks.append(files / (time.perf_counter() - started))
        before, spent, written = state(vectors), time.process_time(), written_bytes()
        with watcher.watch() as opened:
            started = time.perf_counter()
            found = await indexer.sync()
            seconds = time.perf_counter() - started
        cpu.append(time.process_time() - spent)
        wrote.append(written_bytes() - written)
        assert found.added == found.changed == found.deleted == 0, f"there was something: {found}"
        assert not opened, f"opened {opened[:3]}"
        assert state(vectors) == before, "the vector store was written"
        syncs.append(files / seconds)
    return {"walks": walks, "syncs": syncs, "cpu": cpu, "wrote": wrote}


def written_bytes() -> int:
    """What this process has written so far, to whatever file or pipe. Linux only."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(lines["wchar"])


def measure_peer(python: Path, folder: Path, work: Path, rounds: int) -> dict[str, Any]:
    """Files a second of ``index()`` when nothing has changed."""
    with Peer(python, "noop_sync_peer.py", str(folder), str(work)) as peer:
        tell(f"peer: {peer.facts['versions']}; first run ...")
        first = peer.ask({})
        assert first["added"] >= first["files"], f"the peer stored nothing: {first}"
        again = [peer.ask({}) for _ in range(rounds)]
    assert all(one["added"] == one["deleted"] == 0 for one in again), "the peer stored again"
    return {
        "versions": peer.facts["versions"],
        "files": first["files"],
        "files_per_s": [one["files"] / one["seconds"] for one in again],
    }


async def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All figures."""
    folder: Path = options.data.resolve() if options.data else work / "files"
    if not options.data:
        tell(f"making {options.make} files ...")
        make_small_files(folder, options.make)
    (data_dir := work / "data").mkdir()
    indexer = Indexer(folder, data_dir)
    try:
        tell("indexing them once ...")
        first = await indexer.sync()
        await indexer.sync()  # files written within the last two seconds are looked at once more
        measured = await measure_ours(indexer, data_dir / "qdrant", options.rounds)
    finally:
        await indexer.close()
    walks, syncs = measured["walks"], measured["syncs"]
    figures: dict[str, Any] = {
        "benchmark": "noop_sync",
        "files": first.added,
        "failed": len(first.failed),
        "skipped": len(first.skipped),
        "walk_files_per_s": spread(walks, 0),
        "sync_files_per_s": spread(syncs, 0),
        "sync_cpu_s": spread(measured["cpu"]),
        "written_bytes": spread(measured["wrote"], 0),
        "over_walk": ratios(syncs, walks),
        "goals": GOALS,
    }
    if options.peer:
        copy_files(folder, sample := work / "sample", options.peer_files)
        peer = measure_peer(options.peer, sample, work / "peer", options.rounds)
        speeds = peer.pop("files_per_s")
        figures["langchain"] = {**peer, "files_per_s": spread(speeds, 0)}
        figures["over_langchain"] = ratios(syncs, speeds)
    return figures


def tabulate(figures: dict[str, Any]) -> None:
    """The figures for people."""
    rows = [
        ("bare walk", span(figures["walk_files_per_s"]), ""),
        ("Tandem", span(figures["sync_files_per_s"]), f"{span(figures['over_walk'])} of the walk"),
    ]
    if peer := figures.get("langchain"):
        over = f"Tandem: {span(figures['over_langchain'])} times"
        rows.append((f"LangChain, {peer['files']} files", span(peer["files_per_s"]), over))
    show(f"no-op sync of {figures['files']} files", ("", "files/s", "ratio"), rows)


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--data", type=Path, help="any folder of files")
    which.add_argument("--make", type=int, help="make that many small files")
    parser.add_argument("--peer", type=Path, help="the peer's Python; without it no comparison")
    parser.add_argument("--peer-files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as work:
        figures = asyncio.run(measure(options, Path(work)))
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
