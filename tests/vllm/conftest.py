"""A real vLLM on the CPU, in an environment of its own, behind a loopback port."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from backends.language_model import LanguageModel
from settings import LanguageModelSettings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
START_S = 300.0
STOP_S = 30.0


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was made just now."""
    subprocess.run([HERE / "install.sh"], check=True, timeout=1800)  # noqa: S603 - our own script
    folder = tmp_path_factory.mktemp("tiny-model")
    command = [PYTHON, HERE / "tiny_model.py", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)  # noqa: S603 - our own script
    return folder


@pytest.fixture(scope="session")
def vllm_url(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of a vLLM that serves the tiny model as ``tiny``; stopped at the end."""
    url = f"http://127.0.0.1:{(port := _free_port())}"
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own command line
            [
                *(PYTHON, "-m", "vllm.entrypoints.openai.api_server"),
                *("--model", tiny_model, "--served-model-name", "tiny"),
                *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", "4096"),
                *("--dtype", "bfloat16", "--enforce-eager"),
                *("--block-size", "32"),  # the smallest on the CPU; on a GPU blocks have 16
            ],
            env={
                **os.environ,
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "HF_HUB_OFFLINE": "1",
                "VLLM_NO_USAGE_STATS": "1",
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


@pytest.fixture
async def language_model(vllm_url: str) -> AsyncIterator[LanguageModel]:
    """Our client of that server."""
    settings = LanguageModelSettings(base_urls=[f"{vllm_url}/v1"], max_answer_tokens=64)
    model = LanguageModel(settings)
    yield model
    await model.aclose()


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
    pytest.fail(f"vLLM did not start (exit code {server.poll()}):\n{tail}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(STOP_S)
