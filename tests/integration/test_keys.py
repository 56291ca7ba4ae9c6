"""A service with API keys: who is let in where, over the application as it is served."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from api.http.strangers import StrangersRefused
from api.keys import FILE, KeyRing, Scope
from api.service import Service, open_service
from server import create_app
from settings import Settings
from tests.running_service import tandem

OPEN = {"/healthz", "/readyz", "/openapi.json", "/"}
"""What says nothing of the documents: probes, the description, the page."""
Client = Callable[[str | None], httpx.AsyncClient]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Lamp\n\nThe lamp in the hall is green.\n")
    settings = Settings(data_dir=tmp_path / "data", roots=[folder], _env_file=None)
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


@pytest.fixture
def client(service: Service) -> Client:
    return clients(create_app(service))


def clients(app: FastAPI) -> Client:
    def made(token: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=30
        )

    return made


def key(service: Service, *scopes: Scope, tenant: str = "default") -> str:
    return KeyRing(service.settings.data_dir).create("-".join(["k", *scopes]), scopes, tenant)


def routes(service: Service) -> Iterator[tuple[str, str]]:
    """Every route that is served, with a value in each place of its path."""
    waiting: list[tuple[str, Any]] = [("", route) for route in create_app(service).routes]
    for before, route in waiting:
        if (included := getattr(route, "original_router", None)) is not None:  # FastAPI's own
            waiting += [(before, each) for each in included.routes]
        elif isinstance(route, Mount):
            waiting += [(before + route.path, each) for each in route.routes]
        elif isinstance(route, Route):
            path = re.sub(r"\{\w+(:\w+)?\}", "x", before + route.path)
            for method in (route.methods or {"GET"}) - {"HEAD", "OPTIONS"}:
                yield method, path


async def test_every_route_refuses_whoever_shows_no_key(service: Service) -> None:
    """By itself: what refuses strangers early is taken away."""
    key(service, "ask")
    app = create_app(service)
    early: Any = StrangersRefused
    app.user_middleware = [each for each in app.user_middleware if each.cls is not early]
    client = clients(app)
    found = sorted(set(routes(service)))
    assert len(found) > 15
    let_in = []
    async with client(None) as stranger, client("tandem_wrong") as forger:
        for method, path in found:
            if path in OPEN or path.startswith("/static/"):
                continue
            for who in (stranger, forger):
                answer = await who.request(method, path, json={} if method == "POST" else None)
                if answer.status_code not in (401, 403):
                    let_in.append((method, path, answer.status_code))
    assert let_in == []


async def test_a_key_does_what_its_scopes_allow(service: Service, client: Client) -> None:
    asking, reading = key(service, "ask"), key(service, "read")
    body = {"question": "Which colour has the lamp in the hall?", "stream": False}
    async with client(asking) as asks, client(reading) as reads:
        answer = await asks.post("/ask", json=body)
        assert answer.status_code == 200
        assert "green" in answer.json()["answer"]
        refused = await reads.post("/ask", json=body)
        assert refused.status_code == 403
        assert "'ask'" in refused.json()["error"]["message"]
        assert (await reads.get("/documents")).status_code == 200
        assert (await asks.get("/documents")).status_code == 403


async def test_without_a_key_the_answer_says_how_to_get_one(
    service: Service, client: Client
) -> None:
    key(service, "ask")
    async with client(None) as stranger:
        refused = await stranger.post("/ask", json={"question": "x"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "unauthenticated"
        assert "tandem keys create" in refused.json()["error"]["message"]
        ready = await stranger.get("/readyz")
        assert ready.json() == {"ready": True}


@pytest.mark.parametrize("path", ["/ask", "/search", "/v1/chat/completions", "/mcp", "/nothing"])
@pytest.mark.parametrize("authorization", [None, b"Bearer tandem_wrong", b"Basic YTpi", b"\xff"])
async def test_a_strangers_body_is_not_read(
    service: Service, path: str, authorization: bytes | None
) -> None:
    """The application itself is asked: a client would send the whole body."""
    key(service, "ask")
    received, answered = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b'"' * 65_536, "more_body": received < 100}

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "headers": headers, "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await create_app(service)(scope, receive, send)
    assert answered[0]["status"] == 401
    assert (b"www-authenticate", b"Bearer") in answered[0]["headers"]
    assert json.loads(answered[1]["body"])["error"]["code"] == "unauthenticated"
    assert received == 0


async def test_what_needs_no_key_stays_open(service: Service, client: Client) -> None:
    key(service, "ask")
    async with client(None) as stranger, client("tandem_wrong") as forger:
        for who in (stranger, forger):
            for path in sorted(OPEN):
                assert (await who.get(path)).status_code == 200, path
            page = (await who.get("/")).text
            static = re.findall(r'"(/static/[^"]+)"', page)
            assert static
            for path in static:
                assert (await who.get(path)).status_code == 200, path


async def test_this_machines_user_needs_no_key(service: Service, client: Client) -> None:
    key(service, "ask")
    async with client(service.token) as local:
        assert (await local.get("/documents")).status_code == 200
        assert "backends" in (await local.get("/readyz")).json()


async def test_a_revoked_key_is_refused_at_once(service: Service, client: Client) -> None:
    token = key(service, "read")
    async with client(token) as reads:
        assert (await reads.get("/documents")).status_code == 200
        KeyRing(service.settings.data_dir).revoke("k-read")
        assert (await reads.get("/documents")).status_code == 401


async def test_where_others_can_reach_it_a_lost_file_of_keys_lets_nobody_in(
    service: Service, client: Client
) -> None:
    key(service, "read")
    service.settings.host = "0.0.0.0"  # noqa: S104 - nothing listens here
    (service.settings.data_dir / FILE).unlink()
    async with client(None) as stranger:
        assert (await stranger.get("/documents")).status_code == 401
        service.settings.allow_unauthenticated = True
        assert (await stranger.get("/documents")).status_code == 200


async def test_another_tenants_conversation_is_like_none(service: Service, client: Client) -> None:
    mine, theirs = key(service, "ask"), key(service, "ask", "read", tenant="acme")
    body = {"question": "Which colour has the lamp in the hall?", "thread_id": "t", "stream": False}
    async with client(mine) as default, client(theirs) as acme:
        assert (await default.post("/ask", json=body)).status_code == 200
        assert (await default.get("/threads/t")).status_code == 200
        assert (await acme.get("/threads/t")).status_code == 404
        assert (await acme.delete("/threads/t")).status_code == 204
        assert (await default.get("/threads/t")).status_code == 200
        for thread in ("default/t", "..%2fdefault%2ft", "default%2Ft"):
            assert (await acme.get(f"/threads/{thread}")).status_code in (404, 422)
            forged = {**body, "thread_id": thread}
            assert (await acme.post("/ask", json=forged)).status_code == 422
        assert (await acme.get("/passages", params={"source": "notes/a.md"})).status_code == 404


@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # LangServe does
@pytest.mark.parametrize("named", ["tenant", "tenants", "caller", "options", "filters", "config"])
async def test_no_request_can_name_a_tenant(service: Service, client: Client, named: str) -> None:
    acme = key(service, "ask", "read", tenant="acme")
    question = "Which colour has the lamp in the hall?"
    smuggled = {"tenant": "default"}
    value = "default" if named.startswith("tenant") else smuggled
    headers = {"X-Tenant": "default", "X-Tandem-Tenant": "default"}
    requests = {
        "/ask": {"question": question, "stream": False, named: value},
        "/search": {"query": question, named: value},
        "/rag/invoke": {
            "input": {"question": question, named: value},
            "config": {"configurable": {named: value, "tenant": "default"}},
        },
    }
    async with client(acme) as other:
        for path, body in requests.items():
            answer = await other.post(path, json=body, headers=headers)
            assert answer.status_code < 500, (path, answer.text)
            assert "green" not in answer.text, path


async def test_a_keys_tenant_is_the_one_that_is_asked(service: Service, client: Client) -> None:
    acme = key(service, "ask", tenant="acme")
    async with client(acme) as other:
        body = {"question": "Which colour has the lamp in the hall?", "stream": False}
        answer = (await other.post("/ask", json=body)).json()
    assert answer["status"] == "not_found"
    assert answer["documents"] == []


def test_the_command_makes_lists_and_revokes(tmp_path: Path) -> None:
    def keys(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return tandem("keys", *arguments, data_dir=tmp_path)

    assert "No keys" in keys("list").stdout
    made = keys("create", "laptop", "--scopes", "ask, read")
    token = made.stdout.strip()
    assert KeyRing(tmp_path).find(token) is not None
    listed = keys("list")
    assert "laptop" in listed.stdout
    assert "ask,read" in listed.stdout
    assert token not in listed.stdout
    wrong = keys("create", "phone", "--scopes", "ask,all")
    assert wrong.returncode == 2
    assert "ask, read, write, admin" in wrong.stderr
    assert "still needed" in keys("revoke", "laptop").stdout
    assert keys("revoke", "laptop").returncode == 2
