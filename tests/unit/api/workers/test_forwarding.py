"""Which requests a worker hands on, and how."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api.workers.forwarding import Forwarding, is_leaders


@pytest.mark.parametrize(
    ("path", "leaders"),
    [
        ("/documents", True),
        ("/documents/uploads/a.md", True),
        ("/reindex/rollback", True),
        ("/metrics", True),
        ("/mcp", True),
        ("/documentsx", False),
        ("/ask", False),
        ("/", False),
        ("/healthz", False),
    ],
)
def test_what_is_about_the_index_is_the_leaders(path: str, leaders: bool) -> None:
    assert is_leaders(path) is leaders


async def here(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"answered": "here"})(scope, receive, send)


async def leader(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told = {
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[part.decode("latin-1") for part in each] for each in scope["headers"]],
        "bytes": len(body),
    }
    answer = JSONResponse(told, 207, {"X-Request-ID": "of-the-leader", "Set-Cookie": "a=1"})
    answer.raw_headers.append((b"set-cookie", b"b=2"))
    await answer(scope, receive, send)


@contextlib.asynccontextmanager
async def forwarding(answer: Any = leader) -> AsyncIterator[httpx.AsyncClient]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "leader"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        server = uvicorn.Server(uvicorn.Config(answer, log_config=None, lifespan="off"))
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]  # they are the test run's
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        listener.listen()
        app = Forwarding(here, path)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tandem.test") as client:
            yield client
        await app.aclose()
        server.should_exit = True
        await serving


async def test_a_request_arrives_as_it_was_sent_and_its_answer_too() -> None:
    async with forwarding() as client:
        answer = await client.post(
            "/documents/a%2Fb%20c?q=%C3%B6&q=2",
            content=b"x" * 300_000,
            headers={"Origin": "http://a.test", "Authorization": "Bearer k", "Expect": "nothing"},
        )
        told = answer.json()
        headers = dict(told["headers"])
        assert (answer.status_code, told["method"], told["bytes"]) == (207, "POST", 300_000)
        assert (told["path"], told["query"]) == ("/documents/a%2Fb%20c", "q=%C3%B6&q=2")
        assert headers["host"] == "tandem.test"
        assert (headers["origin"], headers["authorization"]) == ("http://a.test", "Bearer k")
        assert headers["content-length"] == "300000"
        assert "expect" not in headers
        assert answer.headers["x-request-id"] == "of-the-leader"
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert (await client.get("/ask")).json() == {"answered": "here"}


async def test_a_leader_that_does_not_answer_is_said_and_can_be_asked_again() -> None:
    app = Forwarding(here, "/nowhere/leader")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://tandem.test"
    ) as client:
        refused = await client.get("/documents")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "backend_unavailable"
        assert (await client.get("/healthz")).status_code == 200
    await app.aclose()
