"""The processes of the serving benchmarks: the model, what serves, and the clients."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measuring import memory_mb
from benchmarks.streaming_model import question

TANDEM = str(Path(sys.executable).parent / "tandem")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_READY_S = 120.0


@dataclass(frozen=True)
class Serving:
    """A process that answers, and how it is asked."""

    name: str
    url: str
    pid: int
    ending: str
    """What every complete answer of it holds near its end."""
    wrapped: bool = False
    """Whether it is asked as LangServe is."""

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def memory_mb(self) -> float:
        """Memory of its own, without files that are mapped."""
        return memory_mb(self.pid)["anonymous"]

    def read(self, clients: int, tokens: int, **how: Any) -> dict[str, Any]:
        """Let clients ask it; what they found. See ``benchmarks.streaming_clients``."""
        asked = {"question": question(tokens)}
        body = {"input": asked} if self.wrapped else asked
        request = {"url": self.url, "body": body, "ending": self.ending, "clients": clients}
        finished = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "benchmarks.streaming_clients", json.dumps(request | how)],
            check=True,
            capture_output=True,
            text=True,
        )
        found: dict[str, Any] = json.loads(finished.stdout)
        return found


@contextlib.contextmanager
def model(rate: float = 0.0) -> Iterator[str]:
    """The scripted model's address, without ``/v1``."""
    with _module("benchmarks.streaming_model", "--rate", str(rate)) as (_, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def stock(model_url: str) -> Iterator[dict[str, Serving]]:
    """The peers, by name; they are one process."""
    arguments = ["--model-url", f"{model_url}/v1"]
    with _module("benchmarks.streaming_stock", *arguments) as (process, port):
        url, pid = f"http://127.0.0.1:{port}", process.pid
        _await(f"{url}/openapi.json")
        events = f"{url}/stock/stream_events"
        yield {
            "messages": Serving("messages", f"{url}/messages", pid, "event: done"),
            "stream_events": Serving("stream_events", events, pid, "event: end", wrapped=True),
            "proxy": Serving("proxy", f"{url}/proxy", pid, "data: [DONE]"),
        }


@contextlib.contextmanager
def tandem(name: str, model_url: str, folder: Path, **settings: str) -> Iterator[Serving]:
    """Tandem as users run it, traced, over its own documents."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TANDEM_")}
    environment = {
        **inherited,
        "TANDEM_LLM__BASE_URLS": f"{model_url}/v1",
        "TANDEM_PHOENIX__ENDPOINT": model_url,
        "TANDEM_ROOTS": "docs",
        "TANDEM_MAX_RUNS": "1000",
        "TANDEM_LOG_LEVEL": "warning",
        **settings,
    }
    process = subprocess.Popen(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(folder / name), "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/documents", indexed=True)
        yield Serving(name, f"{url}/ask", process.pid, "event: done")
    finally:
        _end(process)


def through_langserve(name: str, serving: Serving) -> Serving:
    """The same process and graph, asked at LangServe's ``/stream_events``."""
    url = serving.url.removesuffix("/ask") + "/rag/stream_events"
    return replace(serving, name=name, url=url, ending="event: end", wrapped=True)


@contextlib.contextmanager
def _module(name: str, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-W", "ignore", "-m", name, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["port"]
    finally:
        _end(process)


def _await(url: str, *, indexed: bool = False) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(url, trust_env=False, timeout=10)
            state = answer.json()
            if answer.is_success and not (indexed and _at_work(state)):
                return
        time.sleep(0.2)
    raise SystemExit(f"{url} was not ready in time")


def _at_work(state: dict[str, Any]) -> bool:
    return not state["documents"] or bool(state["syncing"]) or state["index"]["pending"] > 0


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
