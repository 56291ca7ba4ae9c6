"""A small HTTP server that speaks enough of Ollama's API, and fails in its documented ways.

Vectors are made from the text's hash: the same text always has the same one. ``/v1/embeddings`` and
``/v1/models`` answer as OpenAI-compatible servers do. Failures are queued with ``fail`` and taken
one a request, oldest first.
"""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = tuple[int, Any]
Failure = Callable[["OllamaServer", dict[str, Any]], Answer | None]


class OllamaServer:
    """Use as a context manager; ``url`` is its address on the loopback interface."""

    def __init__(self, *, model: str = "nomic-embed-text", dimension: int = 8) -> None:
        self.model = model
        self.dimension = dimension
        self.context_words = 2048
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.release = threading.Event()
        """Set when hanging requests may end."""
        self._failures: deque[Failure] = deque()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(self, *failures: Failure) -> None:
        """Let the next embedding requests go wrong, one failure each."""
        self._failures.extend(failures)

    def inputs(self) -> list[list[str]]:
        """The texts of each embedding request so far."""
        return [body["input"] for _, body, _ in self.requests if "input" in body]

    def vector(self, text: str) -> list[float]:
        digest = hashlib.sha256(text.encode()).digest()
        return [byte / 255 for byte in digest[: self.dimension]]

    def answer(self, path: str, body: dict[str, Any]) -> Answer:
        if path == "/api/tags":
            return 200, {"models": [{"name": f"{self.model}:latest", "digest": "0a109f42"}]}
        if path == "/api/ps":
            return 200, {"models": []}
        if path == "/v1/models":
            return 200, {"data": [{"id": self.model, "max_model_len": self.context_words}]}
        if path == "/v1/chat/completions" or path not in _ANSWERS:
            return 404, {"error": f"no such path: {path}"}
        if body.get("model") != self.model:
            return 404, {"error": f'model "{body.get("model")}" not found, try pulling it first'}
        if "input" in body and self._failures:
            failed = self._failures.popleft()(self, body)
            if failed is not None:
                return failed
        return _ANSWERS[path](self, body)

    def show(self, _: dict[str, Any]) -> Answer:
        return 200, {"model_info": {"nomic-bert.context_length": self.context_words}}

    def chat(self, body: dict[str, Any]) -> Answer:
        message = {"role": "assistant", "content": "yes"}
        return 200, {"model": self.model, "message": message, "done": True, "done_reason": "stop"}

    def embed(self, body: dict[str, Any]) -> Answer:
        if any(len(text.split()) > self.context_words for text in body["input"]):
            return 400, {"error": "the input length exceeds the context length"}
        return 200, {"embeddings": [self.vector(text) for text in body["input"]]}

    def embed_like_openai(self, body: dict[str, Any]) -> Answer:
        if any(len(text.split()) > self.context_words for text in body["input"]):
            return 400, {"error": {"message": "This model's maximum context length is 2048 tokens"}}
        rows = [
            {"index": index, "embedding": self.vector(text)}
            for index, text in enumerate(body["input"])
        ]
        return 200, {"data": rows[::-1]}


_ANSWERS: dict[str, Callable[[OllamaServer, dict[str, Any]], Answer]] = {
    "/api/show": OllamaServer.show,
    "/api/chat": OllamaServer.chat,
    "/api/embed": OllamaServer.embed,
    "/v1/embeddings": OllamaServer.embed_like_openai,
}


def short_batch(server: OllamaServer, body: dict[str, Any]) -> Answer:
    """One vector too few, without any error."""
    return 200, {"embeddings": [server.vector(text) for text in body["input"][1:]]}


def not_finite(server: OllamaServer, body: dict[str, Any]) -> Answer:
    vectors = [server.vector(text) for text in body["input"]]
    vectors[-1][0] = float("nan")
    return 200, {"embeddings": vectors}


def other_dimension(server: OllamaServer, body: dict[str, Any]) -> Answer:
    return 200, {"embeddings": [[*server.vector(text), 1.0] for text in body["input"]]}


def only_zeros(server: OllamaServer, body: dict[str, Any]) -> Answer:
    return 200, {"embeddings": [[0.0] * server.dimension for _ in body["input"]]}


def not_json(server: OllamaServer, body: dict[str, Any]) -> Answer:
    return 200, b"<html>a proxy's greeting</html>"


def crash(server: OllamaServer, body: dict[str, Any]) -> Answer:
    return 500, {"error": "llama runner process has terminated"}


def hang(server: OllamaServer, body: dict[str, Any]) -> None:
    """Answer only when the test is over."""
    server.release.wait(30)


def _handler(server: OllamaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            server.requests.append((self.path, body, dict(self.headers)))
            status, answer = server.answer(self.path, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has stopped waiting

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Silent: tests look at ``requests``."""

    return Handler
