"""Starts ``langgraph dev`` as a user of Studio does, and stops it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.schema import Context, Input, StreamMode

from tests.corpus import write_corpus
from tests.running_service import environment, tandem

CONFIG = Path(__file__).parents[1] / "langgraph.json"
LANGGRAPH = str(Path(sys.executable).parent / "langgraph")
READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A ``langgraph dev`` in a process of its own."""

    client: SyncLangGraphClient
    process: "subprocess.Popen[bytes]"
    data_dir: Path
    log: Path

    def ask(self, question: object, thread: str | None = None, **knobs: object) -> dict[str, Any]:
        """A run's output."""
        output = self.client.runs.wait(
            thread, "rag", input=_input(question), context=cast(Context, knobs)
        )
        return cast(dict[str, Any], output)

    def stream(self, question: str, *modes: StreamMode, **knobs: object) -> list[tuple[str, Any]]:
        """What a run streams, by mode."""
        parts = self.client.runs.stream(
            None,
            "rag",
            input=_input(question),
            context=cast(Context, knobs),
            stream_mode=list(modes),
        )
        return [(part.event, part.data) for part in parts]


def _input(question: object) -> Input:
    return cast(Input, {"question": question})


@contextlib.contextmanager
def api_server(folder: Path, port: int, **settings: str) -> Iterator[ApiServer]:
    """``langgraph dev`` over an index of the corpus, stopped as Ctrl-C stops it.

    It runs in an empty folder: without anybody's ``.env``, and its threads are kept nowhere else.
    """
    data_dir = folder / "data"
    indexed = tandem("index", str(write_corpus(folder / "vardholm")), data_dir=data_dir)
    assert indexed.returncode == 0, indexed.stderr
    here = folder / "here"
    here.mkdir()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own environment's program
            [
                *(LANGGRAPH, "dev", "--no-browser", "--no-reload"),
                *("--config", str(CONFIG), "--port", str(port)),
            ],
            cwd=here,
            env=offline(TANDEM_DATA_DIR=str(data_dir), **settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await_ok(url, process, log)
        with get_sync_client(url=url, timeout=60) as client:
            yield ApiServer(client, process, data_dir, log)
    finally:
        stop(process)


def offline(**settings: str) -> dict[str, str]:
    """An environment in which ``langgraph`` tells nobody that it runs."""
    return environment(**settings) | {
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
    }


def await_ok(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/ok", trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)  # a start-up is waited for by asking; nothing announces it
    raise AssertionError(f"not ready in time: {log.read_text()}")


def stop(process: "subprocess.Popen[bytes]") -> int:
    """End the server, if it has not ended, and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
