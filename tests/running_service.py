"""Starts ``tandem serve`` as a user does, and stops it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

TANDEM = str(Path(sys.executable).parent / "tandem")
READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service in a process of its own."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[str]"
    output: IO[str]
    """A file: nobody reads a pipe while the service is asked, and a full one holds lines back."""

    def written(self) -> str:
        """What it has written so far, to standard output and error."""
        self.output.seek(0)
        return self.output.read()

    def ended(self) -> str:
        """What it wrote, once it has ended; it was told to before."""
        self.process.wait(STOPPED_WITHIN_S)
        return self.written()

    def tandem(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command on the service's data folder."""
        return tandem(*arguments, data_dir=self.data_dir)

    def client(self) -> httpx.Client:
        """An HTTP client that knows the service's address."""
        return httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)


def tandem(*arguments: str, data_dir: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run ``tandem`` to its end."""
    return subprocess.run(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(data_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(**settings),
    )


def environment(**settings: str) -> dict[str, str]:
    """The test run's environment, without anybody's own settings and with tracing off."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TANDEM_")}
    return {**inherited, "TANDEM_PHOENIX__ENDPOINT": "", **settings}


@contextlib.contextmanager
def running_service(
    data_dir: Path,
    root: Path,
    port: int,
    log: int | None = None,
    options: Sequence[str] = (),
    /,
    **settings: str,
) -> Iterator[RunningService]:
    """A service that has indexed its root, if anything is there.

    ``log`` is a file descriptor to write the log to, instead of a file; ``options`` are more words
    of its command.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [TANDEM, "--data-dir", str(data_dir), "serve", "--port", str(port), *options],
            stdout=output,
            stderr=subprocess.STDOUT if log is None else log,
            text=True,
            env=environment(TANDEM_ROOTS=str(root), **settings),
        )
        service = RunningService(f"http://127.0.0.1:{port}", data_dir, process, output)
        try:
            await_indexed(service, empty=root.is_dir() and not any(root.iterdir()))
            yield service
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(STOPPED_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise


def await_indexed(service: RunningService, *, empty: bool = False) -> None:
    """Return when the service has indexed something, if there is any, and is done with it."""
    deadline = time.monotonic() + READY_WITHIN_S
    with service.client() as client:
        while time.monotonic() < deadline:
            if service.process.poll() is not None:
                raise AssertionError(f"the service ended: {service.written()}")
            with contextlib.suppress(httpx.TransportError):
                state = client.get("/documents").json()
                if (empty or state["documents"]) and not state["syncing"]:
                    return
            time.sleep(0.1)  # a start-up is waited for by asking; nothing announces it
    raise AssertionError("the service was not ready in time")
