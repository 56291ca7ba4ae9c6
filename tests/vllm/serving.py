"""Starts a real vLLM on the CPU, in an environment of its own, behind a loopback port."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
MODEL = "tiny"
START_S = 300.0
STOP_S = 30.0


def make_tiny_model(folder: Path) -> Path:
    """Install vLLM where it is not yet, and write a tiny model into the folder."""
    subprocess.run([HERE / "install.sh"], check=True, timeout=1800)  # noqa: S603 - our own script
    command = [PYTHON, HERE / "tiny_model.py", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)  # noqa: S603 - our own script
    return folder


@contextmanager
def serving(model: Path, log: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The root URL of a vLLM that serves the model as ``tiny``; stopped at the end.

    ``arguments`` are more of vLLM's own, ``environment`` more variables of its process.

    Raises:
        RuntimeError: it did not start; its last words are in the message.
    """
    url = f"http://127.0.0.1:{(port := _free_port())}"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own command line
            [
                *(PYTHON, "-m", "vllm.entrypoints.openai.api_server"),
                *("--model", model, "--served-model-name", MODEL),
                *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", "4096"),
                *("--dtype", "bfloat16", "--enforce-eager"),
                *("--block-size", "32"),  # the smallest on the CPU; on a GPU blocks have 16
                *arguments,
            ],
            env={
                **os.environ,
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "HF_HUB_OFFLINE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                **environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers end with it: the group is signalled
        )
        try:
            _wait_until_healthy(url, server, log)
            yield url
        finally:
            _stop(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    tail = log.read_text(errors="replace")[-4000:]
    raise RuntimeError(f"vLLM did not start (exit code {server.poll()}):\n{tail}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(STOP_S)
