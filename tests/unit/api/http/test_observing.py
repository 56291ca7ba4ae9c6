"""Every request is seen once, whatever becomes of it."""

import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.staticfiles import StaticFiles

from api.http.logs import request_id
from api.http.observing import Observed
from api.metrics import Metrics
from backends.calls import call
from errors import VectorStoreUnavailable


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "tandem.access")
    return caplog


@pytest_asyncio.fixture
async def client(
    metrics: Metrics, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.add_middleware(Observed, metrics=metrics)
    app.mount("/static", StaticFiles(directory=tmp_path_factory.mktemp("static")))

    @app.get("/documents/{source:path}")
    async def document(source: str) -> dict[str, str | None]:
        return {"source": source, "request": request_id()}

    @app.get("/search")
    async def search() -> None:
        with call("embeddings"):
            pass
        with call("vector_store"):
            raise VectorStoreUnavailable("The store is down.")

    @app.get("/readyz")
    async def readyz() -> None:
        with call("vector_store"):
            pass

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def value(metrics: Metrics, name: str, **labels: str) -> float:
    registry: CollectorRegistry = metrics.registry
    return registry.get_sample_value(name, labels) or 0.0


async def test_a_request_is_told_of_in_one_line_without_its_query(
    client: httpx.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    await client.get("/documents/a.md?key=secret", headers={"Authorization": "Bearer secret"})
    (line,) = log.records
    assert line.getMessage().startswith("GET /documents/a.md 200 in ")
    told = vars(line)
    assert (told["method"], told["path"], told["status"]) == ("GET", "/documents/a.md", 200)
    assert "secret" not in json.dumps(told, default=str)


async def test_a_path_cannot_forge_a_line(
    client: httpx.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    await client.get("/documents/a%0aERROR%20all%20is%20lost")
    (line,) = log.records
    assert "\n" not in line.getMessage()
    assert "a%0AERROR" in line.getMessage()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("client-7.b_2", True), ("a b", False), ("a\tb", False), ("x" * 65, False), ("", False)],
)
async def test_the_id_of_a_request_is_kept_where_it_is_plain(
    client: httpx.AsyncClient, given: str, kept: bool
) -> None:
    answer = await client.get("/documents/a", headers={"X-Request-ID": given})
    name = answer.headers["X-Request-ID"]
    assert answer.json()["request"] == name
    assert (name == given) is kept
    assert name


async def test_every_request_gets_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    names = {(await client.get("/documents/a")).headers["X-Request-ID"] for _ in range(20)}
    assert len(names) == 20


async def test_requests_are_counted_by_route_however_many_paths_there_are(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    for number in range(50):
        await client.get(f"/documents/{number}.md")
        await client.get(f"/nothing/{number}")
        await client.get(f"/static/{number}")
        await client.request(f"ODD{number}", "/documents/a")
    requests = next(m for m in metrics.registry.collect() if m.name == "tandem_http_requests")
    counted = {
        tuple(sample.labels.values()): sample.value
        for sample in requests.samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("GET", "/documents/{source}", "200"): 50,
        ("GET", "unmatched", "404"): 50,
        ("GET", "/static", "404"): 50,
        ("OTHER", "/documents/{source}", "405"): 50,
    }


async def test_calls_of_backends_are_measured_and_their_failures_counted(
    client: httpx.AsyncClient, metrics: Metrics, log: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/search")
    assert answer.status_code == 500  # this application translates no errors
    assert log.records[0].getMessage().startswith("GET /search 500 in ")
    assert value(metrics, "tandem_backend_call_seconds_count", backend="embeddings") == 1
    assert value(metrics, "tandem_backend_call_seconds_count", backend="vector_store") == 1
    failed = {"backend": "vector_store", "code": "retrieval_unavailable"}
    assert value(metrics, "tandem_backend_errors_total", **failed) == 1


async def test_probes_are_quiet_and_leave_no_calls_behind(
    client: httpx.AsyncClient, metrics: Metrics, log: pytest.LogCaptureFixture
) -> None:
    await client.get("/readyz")
    assert [line.levelname for line in log.records] == ["DEBUG"]
    assert value(metrics, "tandem_backend_call_seconds_count", backend="vector_store") == 0
