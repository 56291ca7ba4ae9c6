"""A shard's search index, built on a copy by a process of its own.

The engine holds Python's global lock for as long as it builds, a quarter of a minute for 100,000
points: in this process, no question would be answered meanwhile, and no key press heard.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

TIMEOUT_S = 3600.0
_CODE = str(Path(__file__).parents[2])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from backends.qdrant_edge.optimizing import build; build(sys.argv[2])"
)
_STAYS = "The index was not optimised: searches stay exact, and slower."


class Optimizer:
    """The process that builds, at most one at a time; ``stop`` ends it from another thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, folder: Path) -> bool:
        """Optimises the shard in a folder that nobody has open. False: it was stopped, or failed,
        which is logged; then the folder is of no use any more."""
        with self._lock:
            if self._stopped:
                return False
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                # -P: no file of the current folder may pose as a module.
                [sys.executable, "-P", "-c", _START, _CODE, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        try:
            _, said = self._process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            logger.warning("%s It took longer than %g s.", _STAYS, TIMEOUT_S)
            return False
        if self._process.returncode != 0 and not self._stopped:
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            status = f"exit status {self._process.returncode}"
            logger.warning("%s The process that builds it ended: %s", _STAYS, last or status)
        return self._process.returncode == 0

    def stop(self) -> None:
        """Ends the process, if there is one, and starts no other."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()


def build(folder: str) -> None:
    """What the process does. It yields to everybody else: nobody waits for it."""
    import qdrant_edge as edge

    if hasattr(os, "nice"):
        os.nice(10)
    engine = edge.EdgeShard.load(folder)
    engine.optimize()
    engine.flush()
    engine.close()
