"""A service as its clients use it: the commands, and the MCP bridge.

One process owns an embedded store. While a server does, the commands go through it; it leaves its
address and a token, readable by its user alone, in the data folder. A service elsewhere is told by
its address, and lets those in who have one of its keys.
"""

import contextlib
import json
import os
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from backends.trace_context import traceparent
from errors import TandemError, UnavailableError
from settings import EmbeddingSettings

_FILE = "server.json"
_PROBE_TIMEOUT_S = 2.0
_TIMEOUT = httpx.Timeout(10.0, read=600.0)


class ServerError(TandemError):
    """An error that the server reported; it keeps the server's exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # per instance: it is the server's


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server found through its data folder, or one elsewhere."""

    url: str
    token: str
    """The data folder's, or an API key; empty for a service elsewhere that needs none."""
    is_elsewhere: bool = False

    async def status(self) -> dict[str, Any]:
        """What is indexed, and how each backend does."""
        with self._errors():
            async with self._client() as client:
                documents = await client.get("/documents", params={"all": True})
                if documents.is_error:
                    raise _reported(documents)
                ready = await client.get("/readyz")  # 503 is an answer too: not ready
            return {**documents.json(), **ready.json()}

    async def documents(self) -> dict[str, Any]:
        """What is indexed, and how that goes."""
        return await self._json("GET", "/documents")

    async def search(
        self, query: str, *, k: int, filters: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The best passages for a query."""
        body = {"query": query, "k": k, "filters": filters}
        return await self._json("POST", "/search", json=body)

    async def passage(self, passage_id: str, *, before: int, after: int) -> dict[str, Any]:
        """A passage by its id, with those around it."""
        around = {"before": before, "after": after}
        return await self._json("GET", f"/passages/{quote(passage_id, safe='')}", params=around)

    async def document(self, source: str, *, start: int, limit: int) -> dict[str, Any]:
        """A document's passages, from one on."""
        page = {"source": source, "start": start, "limit": limit}
        return await self._json("GET", "/passages", params=page)

    async def ask(
        self,
        question: str,
        *,
        filters: dict[str, Any] | None = None,
        thread: str | None = None,
    ) -> AsyncGenerator[tuple[str, Any]]:
        """The events of a run: name and data."""
        body = {"question": question, "filters": filters, "thread_id": thread}
        async for event in self._events("/ask", body):
            yield event

    async def sync(
        self, paths: list[Path], *, wait: bool = False
    ) -> AsyncGenerator[tuple[str, Any]]:
        """The events of a sync: name and data."""
        body = {"paths": [str(path) for path in paths], "wait": wait}
        async for event in self._events("/documents/sync", body):
            yield event

    async def watch(self, paths: list[Path]) -> AsyncGenerator[tuple[str, Any]]:
        """What comes of watching the paths, until the server stops: name and data."""
        body = {"paths": [str(path) for path in paths]}
        async for event in self._events("/documents/watch", body):
            yield event

    async def reindex(
        self, embeddings: EmbeddingSettings | None, *, back: bool = False
    ) -> AsyncGenerator[tuple[str, Any]]:
        """The events of a reindex or a rollback: name and data. None: with the server's own."""
        body: dict[str, Any] = {}
        if embeddings is not None:
            body["embeddings"] = embeddings.model_dump(mode="json")
            if embeddings.api_key is not None:  # masked in the dump; the server is the user's own
                body["embeddings"]["api_key"] = embeddings.api_key.get_secret_value()
        async for event in self._events("/reindex/rollback" if back else "/reindex", body):
            yield event

    async def prune(self) -> list[str]:
        """Remove what is kept for a rollback; the names of the collections."""
        removed: list[str] = (await self._json("POST", "/reindex/prune", json={}))["removed"]
        return removed

    def _client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.AsyncClient(
            base_url=self.url,
            headers=headers | traceparent(),
            timeout=_TIMEOUT,
            trust_env=self.is_elsewhere,  # a proxy of the environment never sees the loopback
            verify=_is_encrypted(self.url),
        )

    async def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        with self._errors():
            async with self._client() as client:
                answer = await client.request(method, path, **request)
            if answer.is_error:
                raise _reported(answer)
            body: dict[str, Any] = answer.json()
            return body

    async def _events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[tuple[str, Any]]:
        with self._errors():
            async with self._client() as client, client.stream("POST", path, json=body) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _reported(answer)
                name = ""
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(":")
                    if field == "event":
                        name = value.strip()
                    elif field == "data":
                        data = json.loads(value)
                        if name == "error":
                            raise ServerError(data["message"], _exit_code(data["code"]))
                        yield name, data
            if name != "done":
                raise self._stopped("it ended in the middle")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What is no answer of ours becomes an error that says what to do."""
        try:
            yield
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
            raise self._stopped(type(exc).__name__) from exc

    def _stopped(self, reason: str) -> UnavailableError:
        if self.is_elsewhere:
            return UnavailableError(
                f"The server at {self.url} does not answer as Tandem does ({reason}). Check the "
                "address, and that the service runs there."
            )
        return UnavailableError(
            f"The server at {self.url} stopped answering ({reason}). "
            "Look at its terminal, or start it again with `tandem serve`."
        )


def _is_encrypted(url: str) -> bool:
    """Whether certificates are of use: reading them would take most of another call's time."""
    return not url.startswith("http://")


def _reported(answer: httpx.Response) -> ServerError:
    """The error in an answer that has been read; ValueError or KeyError where there is none."""
    error = answer.json()["error"]
    return ServerError(error["message"], _exit_code(error["code"]))


def _exit_code(code: str) -> int:
    """What the command would have exited with, had it met the error itself."""
    kinds = [TandemError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind.exit_code for kind in kinds if kind.code == code), 3)


def find_server(data_dir: Path) -> RunningServer | None:
    """The server that runs on the data folder, if there is one and it answers."""
    try:
        announced = json.loads((data_dir / _FILE).read_text())
        server = RunningServer(announced["url"], announced["token"])
        health = f"{server.url}/healthz"
        answer = httpx.get(
            health, timeout=_PROBE_TIMEOUT_S, trust_env=False, verify=_is_encrypted(health)
        )
    except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
        return None  # a file left by a server that was killed
    return server if answer.is_success else None


@contextlib.contextmanager
def announced(data_dir: Path, url: str, token: str) -> Iterator[None]:
    """Let the commands find this server for as long as the block runs."""
    path = data_dir / _FILE
    data_dir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": url, "token": token, "pid": os.getpid()}, file)
    temporary.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
