"""Starts a real Open WebUI, in an environment of its own, behind a loopback port."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.integration.conftest import _free_port

ENVIRONMENT = Path(__file__).parents[2] / ".venv-openwebui"
_START_S = 120.0
_STOP_S = 30.0


@contextmanager
def open_webui(folder: Path, api: str, key: str) -> Iterator[str]:
    """The URL of an Open WebUI without accounts whose only models are those of ``api``.

    Raises:
        RuntimeError: it did not start; its last words are in the message.
    """
    url = f"http://127.0.0.1:{(port := _free_port())}"
    log = folder / "open-webui.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [
                ENVIRONMENT / "bin" / "open-webui",
                *("serve", "--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=folder,
            env={
                **os.environ,
                "DATA_DIR": str(folder),
                "WEBUI_SECRET_KEY": "for this test alone",
                "WEBUI_AUTH": "False",
                "OPENAI_API_BASE_URL": api,
                "OPENAI_API_KEY": key,
                "ENABLE_OLLAMA_API": "False",
                # Documents are Tandem's part; and nothing is fetched, and nothing reported.
                "BYPASS_EMBEDDING_AND_RETRIEVAL": "True",
                "RAG_EMBEDDING_ENGINE": "openai",
                "OFFLINE_MODE": "True",
                "HF_HUB_OFFLINE": "1",
                "ENABLE_VERSION_UPDATE_CHECK": "False",
                "ANONYMIZED_TELEMETRY": "False",
                "DO_NOT_TRACK": "True",
                "SCARF_NO_ANALYTICS": "True",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_started(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_started(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)  # a start-up is waited for by asking; nothing announces it
    raise RuntimeError(f"Open WebUI did not start: {log.read_text(errors='replace')[-2000:]}")
