"""The processes that ``benchmarks.kills`` kills, and those that look what is left.

Started as a program, it imports everything, opens nothing and waits for jobs, a line of JSON each.
Every job runs in a fork of it, so a process to kill costs milliseconds; the answers are its id
when it begins and its exit status when it has ended.
"""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from backends import vector_store
from backends.embeddings import EmbeddingModel
from backends.minilm.model import MiniLM
from backends.qdrant_edge import shard
from benchmarks.index_checks import (
    HashModel,
    differences,
    expected,
    index,
    opened,
    stale,
    unknown_versions,
)
from indexer import pipeline
from indexer import sync as syncing


def shorten_everything() -> None:
    """Windows, flushes and optimisations come often, so that kills meet them."""
    pipeline._FIRST_WINDOW, pipeline._WINDOW = 8, 32
    shard.FLUSH_EVERY_POINTS = 100
    syncing.OPTIMIZE_AFTER = 100
    vector_store.OPTIMIZE_FROM_POINTS = 100


async def run_sync(job: dict[str, Any], model: EmbeddingModel) -> None:
    """One sync of a folder that may change meanwhile."""
    async with opened(Path(job["data_dir"]), model) as (store, manifest):
        await index(Path(job["root"]), store, manifest, model)


async def run_optimize(job: dict[str, Any], model: EmbeddingModel) -> None:
    """Optimisations one after the other, with changes between them."""
    async with opened(Path(job["data_dir"]), model) as (store, manifest):
        await index(Path(job["root"]), store, manifest, model)
        for _ in range(4):
            await store.optimize()


async def run_reopen(job: dict[str, Any], model: EmbeddingModel) -> None:
    """Opens and closes."""
    for _ in range(5):
        async with opened(Path(job["data_dir"]), model):
            pass


async def run_verify(job: dict[str, Any], model: EmbeddingModel) -> None:
    """Compares the index with the folder, before a sync loosely and after it exactly."""
    root, versions = Path(job["root"]), job["versions"]
    problems: list[str] = []
    async with opened(Path(job["data_dir"]), model) as (store, manifest):
        unsettled = store.visibility.hidden
        problems += await unknown_versions(root, versions, store, model)
        await index(root, store, manifest, model)
        wanted = expected(root, model)
        problems += await differences(wanted, store, model)
        problems += await stale(wanted, store, versions)
        if left := [*await manifest.unsettled(), *store.visibility.hidden]:
            problems.append(f"{len(left)} points are still unsettled")
    job["found"] = {"problems": problems, "points": len(wanted), "unsettled": len(unsettled)}


JOBS = {
    "sync": run_sync,
    "optimize": run_optimize,
    "reopen": run_reopen,
    "verify": run_verify,
}


def work(job: dict[str, Any]) -> int:
    """A job from begin to end; its exit status."""
    shorten_everything()
    model = MiniLM(cache_dir=Path(job["cache"])) if job["model"] == "minilm" else HashModel()
    try:
        if "versions" in job:
            job["versions"] = json.loads(Path(job["versions"]).read_text())
        asyncio.run(JOBS[job["name"]](job, model))
        if "found" in job:
            Path(job["result"]).write_text(json.dumps(job["found"]))
    except Exception:  # noqa: BLE001 - the process ends here, and says why
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    """Forks for each job that is read."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = work(job)
            sys.stderr.flush()
            os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
