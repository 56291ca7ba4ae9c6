"""``tandem serve --workers 2`` over a Qdrant server, a real PostgreSQL, and one client a worker."""

import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.integration.conftest import _free_port
from tests.postgres_server import postgres_programs, running_postgres
from tests.qdrant_server import running_qdrant
from tests.running_service import RunningService, running_service

TWO = ("--workers", "2")
_HAPPENS_WITHIN_S = 40.0


@contextlib.contextmanager
def shared_backends() -> Iterator[dict[str, str]]:
    """The settings with which several processes may answer."""
    programs = postgres_programs()
    assert programs is not None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        running = running_postgres(programs, folder / "postgres", _free_port())
        threads = stack.enter_context(running)
        qdrant = stack.enter_context(running_qdrant())
        yield {"TANDEM_QDRANT__URL": qdrant, "TANDEM_THREADS_URL": threads}


@dataclass(frozen=True, slots=True)
class Workers:
    """A service of two workers, each of which can be asked by itself."""

    service: RunningService

    def pids(self) -> list[int]:
        """The workers that run, the oldest first."""
        started = map(int, re.findall(r"Worker (\d+) answers", self.service.written()))
        return [pid for pid in started if is_running(pid)]

    def two(self) -> list[int]:
        """Both workers; an ended one is waited for until another is in its place."""
        await_that(lambda: len(self.pids()) == 2, "there are two workers")
        return self.pids()

    def token(self) -> str:
        """That of the machine's user."""
        found: str = json.loads((self.service.data_dir / "server.json").read_text())["token"]
        return found

    @contextlib.asynccontextmanager
    async def clients(self, **headers: str) -> AsyncIterator[list[httpx.AsyncClient]]:
        """A client for each worker: its one connection is taken while the other is stopped."""
        async with contextlib.AsyncExitStack() as stack:
            pids = self.two()
            found = []
            for pid in pids:
                client = httpx.AsyncClient(
                    base_url=self.service.url,
                    timeout=60,
                    trust_env=False,
                    headers=headers,
                    limits=httpx.Limits(max_connections=1, keepalive_expiry=60),
                )
                found.append(await stack.enter_async_context(client))
                (other,) = [each for each in pids if each != pid]
                with stopped(other):
                    assert (await client.get("/healthz")).status_code == 200
            yield found


@contextlib.contextmanager
def running_workers(data_dir: Path, root: Path, /, **settings: str) -> Iterator[Workers]:
    """The service, once it has indexed its root."""
    with running_service(data_dir, root, _free_port(), None, TWO, **settings) as service:
        workers = Workers(service)
        workers.two()
        yield workers


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def await_that(holds: Callable[[], Any], what: str) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + _HAPPENS_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)  # of another process, which announces nothing
