"""A Qdrant server's HTTP API, as far as Tandem uses it, over ``qdrant_client``'s local mode.

In a process of its own, so that several others can share what is stored: no server can run here.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import BaseModel
from qdrant_client import QdrantClient, models

Route = Callable[[QdrantClient, str, dict[str, Any]], Any]
"""Takes the collection, if any, and the body; returns the result."""

_STARTED_WITHIN_S = 30.0


def _create(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.CreateCollection.model_validate(body)
    return client.create_collection(
        name,
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
        metadata=wanted.metadata,
    )


def _update(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.update_collection(name, metadata=body["metadata"])


def _aliases(client: QdrantClient, _: str, body: dict[str, Any]) -> Any:
    wanted = models.ChangeAliasesOperation.model_validate(body)
    return client.update_collection_aliases(wanted.actions)


def _index(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.CreateFieldIndex.model_validate(body)
    return client.create_payload_index(name, wanted.field_name, wanted.field_schema)


def _upsert(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.upsert(name, models.PointsList.model_validate(body).points)


def _delete(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.delete(name, models.PointIdsList.model_validate(body))


def _set_payload(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.SetPayload.model_validate(body)
    return client.set_payload(name, wanted.payload, wanted.points or [], key=wanted.key)


def _retrieve(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.PointRequest.model_validate(body)
    return client.retrieve(name, wanted.ids, **_parts(wanted))


def _scroll(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.ScrollRequest.model_validate(body)
    points, after = client.scroll(
        name,
        scroll_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        **_parts(wanted),
    )
    return models.ScrollResult(points=points, next_page_offset=after)


def _query(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.QueryRequest.model_validate(body)
    return client.query_points(
        name,
        query=wanted.query,
        using=wanted.using,
        prefetch=wanted.prefetch,
        query_filter=wanted.filter,
        limit=wanted.limit or 10,
        **_parts(wanted),
    )


def _parts(wanted: Any) -> dict[str, Any]:
    """Which parts of the points are to be returned; the client's own calls always say it."""
    return {"with_payload": wanted.with_payload, "with_vectors": wanted.with_vector or False}


def _count(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.CountRequest.model_validate(body)
    return client.count(name, count_filter=wanted.filter, exact=bool(wanted.exact))


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/collections"): lambda client, _, __: client.get_collections(),
    ("GET", "/aliases"): lambda client, _, __: client.get_aliases(),
    ("POST", "/collections/aliases"): _aliases,
    ("GET", "/collections/*"): lambda client, name, _: client.get_collection(name),
    ("GET", "/collections/*/exists"): lambda client, name, _: {
        "exists": client.collection_exists(name)
    },
    ("PUT", "/collections/*"): _create,
    ("PATCH", "/collections/*"): _update,
    ("DELETE", "/collections/*"): lambda client, name, _: client.delete_collection(name),
    ("PUT", "/collections/*/index"): _index,
    ("PUT", "/collections/*/points"): _upsert,
    ("POST", "/collections/*/points"): _retrieve,
    ("POST", "/collections/*/points/delete"): _delete,
    ("POST", "/collections/*/points/payload"): _set_payload,
    ("POST", "/collections/*/points/scroll"): _scroll,
    ("POST", "/collections/*/points/query"): _query,
    ("POST", "/collections/*/points/count"): _count,
}


def answer(client: QdrantClient, method: str, path: str, body: Any) -> tuple[int, Any]:
    """The status and the result of a request."""
    parts = path.strip("/").split("/")
    name, template = "", path
    if len(parts) > 1 and (method, path) not in ROUTES:
        name, parts[1] = unquote(parts[1]), "*"
        template = "/" + "/".join(parts)
    route = ROUTES.get((method, template))
    if route is None:
        return 404, f"there is no {method} {path}"
    if name and template != "/collections/*/exists" and route is not _create:
        known = [alias.alias_name for alias in client.get_aliases().aliases]
        if not client.collection_exists(name) and name not in known:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
    try:
        result = route(client, name, body or {})
    except ValueError as exc:
        return 400, str(exc)
    return 200, result


def serve(port: int) -> None:
    """Answer on a port of the loopback until this process is ended."""
    client = QdrantClient(":memory:", force_disable_check_same_thread=True)
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Any method."""
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            with turn:
                status, result = answer(client, self.command, urlsplit(self.path).path, body)
                told = (
                    {"result": _plain(result)} if status == 200 else {"status": {"error": result}}
                )
            written = json.dumps({"status": "ok", "time": 0.0, **told}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # whoever asked may have been killed
                self.wfile.write(written)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - its base's names

        def handle(self) -> None:
            """Until the client is gone, or killed."""
            with contextlib.suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    warnings.simplefilter("ignore")
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


def _plain(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json", exclude_none=True)
    if isinstance(result, list):
        return [_plain(each) for each in result]
    return result


@contextlib.contextmanager
def running_qdrant(port: int = 0) -> Iterator[str]:
    """Its address, while it runs; 0: at any port that is free."""
    with socket.create_server(("127.0.0.1", port)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.qdrant_server", str(port)], cwd=Path(__file__).parents[1]
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while True:
            try:
                httpx.get(f"{url}/collections", trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)  # a start-up is waited for by asking; nothing announces it
        yield url
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
