"""What must never be seen: keys and tokens, in answers, logs, traces or descriptions."""

import asyncio
import gzip
import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from api.keys import KeyRing
from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.language_model_server import error, scripted, stream
from tests.running_service import running_service

QUESTION = "Who built the Vardholm lighthouse?"
MODEL_KEY = "sk-of-the-language-model-4f1d"


class Collector:
    """Takes in traces as Phoenix does, and keeps what was sent."""

    def __init__(self) -> None:
        self.sent = b""
        taken = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                zipped = self.headers.get("Content-Encoding") == "gzip"
                taken.sent += gzip.decompress(body) if zipped else body
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


async def test_no_secret_is_in_an_answer_a_log_a_trace_or_the_description(
    tmp_path: Path, collector: Collector
) -> None:
    data, root = tmp_path / "data", write_corpus(tmp_path / "vardholm")
    # Some servers repeat the key that they refuse.
    refusal = error(401, f"Incorrect API key provided: {MODEL_KEY}.")
    async with scripted(refusal, refusal, stream("Ottilie Brandt [1].")) as model:
        settings = {
            "TANDEM_LLM__BASE_URLS": f"{model.url}/v1",
            "TANDEM_LLM__API_KEY": MODEL_KEY,
            "TANDEM_GRADING__STRATEGY": "off",
            "TANDEM_VERIFICATION": "off",
            "TANDEM_LOG_LEVEL": "debug",
            "TANDEM_LOG_FORMAT": "json",
            "TANDEM_PHOENIX__ENDPOINT": collector.url,
        }
        running = running_service(data, root, _free_port(), **settings)
        service = await asyncio.to_thread(running.__enter__)
        try:
            key = KeyRing(data).create("laptop", ["ask", "read"])
            token = json.loads((data / "server.json").read_text())["token"]
            wrong = "tandem_wrong-as-it-is-7777"
            seen = ""
            async with httpx.AsyncClient(
                base_url=service.url, timeout=60, trust_env=False
            ) as client:

                async def send(method: str, path: str, shown: str, body: object = None) -> int:
                    nonlocal seen
                    bearer = {"Authorization": f"Bearer {shown}"}
                    answer = await client.request(method, path, headers=bearer, json=body)
                    seen += f"{answer.headers}{answer.text}"
                    return answer.status_code

                asked = {"question": QUESTION, "stream": False}
                for shown in (key, token, key):
                    assert await send("POST", "/ask", shown, asked) == 200
                assert await send("POST", "/ask", key, {"question": QUESTION}) == 200
                assert await send("POST", "/ask", key, {"question": 1}) == 422
                assert await send("POST", "/ask", wrong, asked) == 401
                assert await send("POST", "/documents/sync", key, {}) == 403
                assert await send("POST", "/rag/invoke", key, {"input": {"question": QUESTION}})
                for path in ("/documents", "/openapi.json", "/readyz", "/metrics", "/nowhere"):
                    await send("GET", path, key)
                    await send("GET", path, wrong)
            service.process.send_signal(signal.SIGTERM)
            written = await asyncio.to_thread(service.ended)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
        assert len(model.asked("/v1/chat/completions")) >= 3
    traced = collector.sent.decode("utf-8", "replace")
    assert QUESTION in traced
    assert '"level": "debug"' in written
    for secret in (key, token, wrong, MODEL_KEY):
        for place, text in (("answers", seen), ("log", written), ("traces", traced)):
            assert secret not in text, f"{secret} is in the {place}"
