"""The indexer killed at random moments; after each restart the index is compared with the folder.

A folder changes at random (``benchmarks.folder_churn``) before and while a process indexes it,
optimises the store, or opens and closes it. The process gets SIGKILL at a random moment between
its start and its usual end. Another then opens what is left, which must show of every document a
version that it had, syncs, and compares: ids, payloads and vectors must be exactly those of the
files, nothing may be left over, and a search may find nothing else. The store and the manifest
are real, on the disk; vectors are made from hashes, or by MiniLM with ``--model minilm``. Prints
JSON, and exits with 1 where anything differed.

    python -m benchmarks.kills [--kills N] [--minutes N] [--seed N] [--model hash|minilm]
"""

import argparse
import collections
import contextlib
import json
import math
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.folder_churn import Churn

FILES = 25
VERIFY_TIMEOUT_S = 120
LEFT_ALONE = 0.1
"""The share of processes that are not killed."""
NAMES = ("sync", "sync", "sync", "sync", "optimize", "reopen")


class ForkServer:
    """``benchmarks.kill_child``, and one process of it at a time."""

    def __init__(self, jobs: IO[bytes], answers: IO[bytes]) -> None:
        self._jobs = jobs
        self._answers = answers.fileno()  # read unbuffered, so that select tells the truth
        self._read = b""

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator["ForkServer"]:
        """One that has imported everything."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.kill_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            with process.stdin as jobs:
                yield cls(jobs, process.stdout)

    def start(self, job: dict[str, Any]) -> int:
        """Begins a job in a process of its own; its id."""
        self._jobs.write(json.dumps(job).encode() + b"\n")
        self._jobs.flush()
        return self._number()

    def ended(self, timeout_s: float) -> bool:
        """Whether the process ends within that time."""
        return b"\n" in self._read or bool(select.select([self._answers], [], [], timeout_s)[0])

    def status(self) -> int:
        """The exit status of the process; waits for its end."""
        return self._number()

    def _number(self) -> int:
        while b"\n" not in self._read:
            self._read += os.read(self._answers, 100)
        line, _, self._read = self._read.partition(b"\n")
        return int(line)


class Torture:
    """A folder, its data folder, and processes over them."""

    def __init__(self, server: ForkServer, place: Path, *, seed: int, model: str) -> None:
        self._server = server
        self._place = place
        self._model = model
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.churn = Churn(place / "notes", seed)
        self.durations: dict[str, collections.deque[float]] = {}
        self.problems: list[str] = []
        self.unsettled: list[int] = []
        """Points that kills left half done."""
        self.points = 0
        (place / "notes").mkdir()
        self.churn.populate(FILES)

    def run(self, name: str) -> bool:
        """A process while the folder changes, killed at a random moment; False: it was faster.

        Some are left alone, so that it is known how long one takes on this machine now.
        """
        known = self.durations.get(name)
        is_left_alone = known is None or self._chance.random() < LEFT_ALONE
        usual = VERIFY_TIMEOUT_S if known is None or is_left_alone else statistics.median(known)
        pid = self._server.start(self._job(name))
        started = time.monotonic()
        deadline = started + (usual if is_left_alone else self._chance.uniform(0, 1.05 * usual))
        while not self._server.ended(min(0.02, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                _kill(pid)
                break
            if self._chance.random() < 0.3:
                self.churn.step()
        status = self._server.status()
        if status == 0:
            took = time.monotonic() - started
            self.durations.setdefault(name, collections.deque(maxlen=5)).append(took)
        elif status != -signal.SIGKILL:
            self.problems.append(f"{name} failed with status {status}")
        return status == -signal.SIGKILL

    def verify(self) -> None:
        """Another process brings the index into line and compares."""
        versions, result = self._place / "versions.json", self._place / "result.json"
        known = {path: sorted(texts) for path, texts in self.churn.versions.items()}
        versions.write_text(json.dumps(known))
        result.unlink(missing_ok=True)
        job = self._job("verify") | {"versions": str(versions), "result": str(result)}
        pid = self._server.start(job)
        if not self._server.ended(VERIFY_TIMEOUT_S):
            _kill(pid)
        status = self._server.status()
        if status != 0:
            self.problems.append(f"the sync after the kill failed with status {status}")
            return
        found = json.loads(result.read_text())
        self.problems += found["problems"]
        self.unsettled.append(found["unsettled"])
        self.points = found["points"]
        self.churn.settle()

    def _job(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "root": str(self.churn.root),
            "data_dir": str(self._place / "data"),
            "cache": str(self._place / "model"),
            "model": self._model,
        }


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it was faster
        os.kill(pid, signal.SIGKILL)


def torture(
    place: Path, *, kills: int, seed: int, model: str = "hash", within_s: float = math.inf
) -> dict[str, Any]:
    """Kills that often, or for that long, in a folder to be used; tells what differed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    killed: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    runs = 0
    with ForkServer.started() as server:
        under = Torture(server, place, seed=seed, model=model)
        under.verify()
        while killed.total() < kills and not under.problems:
            if time.monotonic() - started > within_s:
                break
            for _ in range(chance.randrange(1, 12)):
                under.churn.step()
            name = chance.choice(NAMES)
            runs += 1
            if under.run(name):
                killed[name] += 1
                under.verify()
    return {
        "benchmark": "kills",
        "seed": seed,
        "model": model,
        "kills": killed.total(),
        "killed_during": dict(killed),
        "runs": runs,
        "found_half_done": sum(1 for n in under.unsettled if n),
        "points_at_the_end": under.points,
        "file_operations": under.churn.operations,
        "seconds": round(time.monotonic() - started, 1),
        "problems": under.problems[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--model", choices=["hash", "minilm"], default="hash")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = torture(
            Path(place),
            kills=options.kills,
            seed=options.seed,
            model=options.model,
            within_s=60 * options.minutes,
        )
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["problems"] else 0)


if __name__ == "__main__":
    main()
