"""Forged hosts and origins, and what browsers are told about every answer."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from api.http.origins import LOOPBACK, KnownOrigins
from api.service import Service, open_service
from server import create_app
from settings import Settings

APP = "https://app.example.com"


HOSTS = [*LOOPBACK, "tandem.example.com", "*.lan.example"]


@pytest.fixture
async def guarded() -> AsyncIterator[httpx.AsyncClient]:
    """Nothing but the check, before something that answers everything."""
    app = KnownOrigins(PlainTextResponse("answered"), HOSTS, [APP])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = Settings(data_dir=tmp_path / "data", roots=[], cors_origins=[APP], _env_file=None)
    async with open_service(settings) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_known_names_are_answered(guarded: httpx.AsyncClient) -> None:
    for host in (
        "127.0.0.1",
        "127.0.0.1:8000",
        "localhost:1",
        "[::1]:8000",
        "TANDEM.example.com",
        "a.lan.example",
    ):
        answer = await guarded.get("/healthz", headers={"Host": host})
        assert answer.status_code == 200, host


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "lan.example",
     "evil@127.0.0.1", "xlan.example", "[::1", "127.0.0.1/evil"],
)  # fmt: skip
async def test_other_names_are_refused_in_our_own_words(
    guarded: httpx.AsyncClient, host: str
) -> None:
    answer = await guarded.get("/healthz", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unknown_host"
    assert "TANDEM_ALLOWED_HOSTS" in answer.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "file://"])
async def test_changes_from_others_pages_are_refused(
    guarded: httpx.AsyncClient, origin: str
) -> None:
    upload = {"file": ("a.md", b"text")}
    refused = await guarded.post("/documents", files=upload, headers={"Origin": origin})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "unknown_origin"


@pytest.mark.parametrize("origin", [APP, "http://127.0.0.1"])
async def test_our_own_pages_and_those_allowed_may_ask(
    guarded: httpx.AsyncClient, origin: str
) -> None:
    body = {"question": "x", "stream": False}
    answer = await guarded.post("/ask", json=body, headers={"Origin": origin})
    assert answer.status_code == 200


async def test_the_service_refuses_forged_names_and_pages(client: httpx.AsyncClient) -> None:
    host = await client.get("/documents", headers={"Host": "evil.example"})
    assert host.json()["error"]["code"] == "unknown_host"
    assert host.headers["x-request-id"] == host.json()["error"]["request_id"]
    origin = await client.post("/ask", json={}, headers={"Origin": "https://evil.example"})
    assert origin.json()["error"]["code"] == "unknown_origin"


async def test_browsers_are_told_which_pages_may_read_answers(client: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    allowed = await client.options("/ask", headers={"Origin": APP, **asked})
    assert allowed.headers["access-control-allow-origin"] == APP
    other = await client.options("/ask", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in other.headers


async def test_an_unexpected_error_names_its_request_and_nothing_else(
    service: Service,
) -> None:
    app = create_app(service)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/broken", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["error"]["request_id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text


async def test_every_answer_says_what_a_browser_may_do_with_it(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/documents", "/nowhere"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
    playground = await client.get("/rag/playground/")
    assert "frame-ancestors 'none'" in playground.headers["content-security-policy"]
