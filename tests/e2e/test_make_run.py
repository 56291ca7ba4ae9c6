"""The README's main command, as a newcomer runs it: in a fresh copy, until Ctrl-C."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 400.0
"""Installing some two hundred packages is part of it."""
PHOENIX_WITHIN_S = 180.0
STOPPED_WITHIN_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """What a clone would hold, were everything committed."""
    with tempfile.TemporaryDirectory() as temporary:
        yield copy_of_the_project(Path(temporary) / "tandem")


def copy_of_the_project(folder: Path) -> Path:
    """The files that git tracks, and those that it would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - the developer's git
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@contextlib.contextmanager
def make_run(clone: Path, port: int, phoenix: int) -> Iterator["subprocess.Popen[str]"]:
    """``make run`` in a terminal of its own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TANDEM_")}
    # A make that runs the tests hands its own state and variables down.
    inherited = {
        k: v for k, v in inherited.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    output = (clone / "output.log").open("w")
    process = subprocess.Popen(
        ["make", "run"],  # noqa: S607 - the user's make
        cwd=clone,
        env={
            **inherited,
            "TANDEM_PORT": str(port),
            "TANDEM_PHOENIX__ENDPOINT": f"http://127.0.0.1:{phoenix}",
        },
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        output.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def eventually(ask: Callable[[], T | None], within_s: float, what: str) -> T:
    """What ``ask`` gives once it gives something; HTTP errors count as nothing yet."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if (found := ask()) is not None:
                return found
        time.sleep(0.25)  # another process starts: asking is the only way to know
    raise AssertionError(f"{what} within {within_s:.0f} s")


@pytest.mark.timeout(900)
def test_make_run_answers_from_the_documents_and_stops_cleanly(clone: Path) -> None:
    port, phoenix = free_port(), free_port()
    with (
        make_run(clone, port, phoenix) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):

        def indexed() -> bool | None:
            log = (clone / "output.log").read_text()
            assert process.poll() is None, log
            state = client.get("/documents").json()
            return True if state["documents"] and not state["syncing"] else None

        eventually(indexed, READY_WITHIN_S, "the service has indexed docs/")
        printed = (clone / "output.log").read_text()
        assert f"http://127.0.0.1:{port}/" in printed
        questions = re.findall(r'tandem ask "(.+)"', printed)
        assert len(questions) == 3
        for question in questions:
            output = client.post("/ask", json={"question": question, "stream": False}).json()
            assert output["status"] == "answered", question
            assert all(c["source"].startswith("docs/") for c in output["citations"])

        spans = eventually(lambda: _spans(phoenix), PHOENIX_WITHIN_S, "the trace is in Phoenix")
        assert {"retrieve", "grade_relevance", "generate"} <= spans

        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in the terminal does
        process.wait(STOPPED_WITHIN_S)
        assert "Traceback" not in (clone / "output.log").read_text()
    for taken in (port, phoenix):
        with socket.create_server(("127.0.0.1", taken)):
            pass  # both ports are free again


def _spans(phoenix: int) -> set[str] | None:
    """The names of the spans that Phoenix has of our project, once it has some of an answer."""
    answer = httpx.get(
        f"http://127.0.0.1:{phoenix}/v1/projects/tandem/spans",
        params={"limit": 500},
        trust_env=False,
    )
    if not answer.is_success:
        return None
    names = {span["name"] for span in json.loads(answer.text)["data"]}
    return names if "generate" in names else None
