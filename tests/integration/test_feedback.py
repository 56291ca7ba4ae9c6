"""What ``/feedback`` takes, and what becomes of it at the trace."""

import json
import queue
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.service import open_service
from backends.phoenix.annotations import Annotations, use
from server import create_app
from settings import Settings

TRACE = "0123456789abcdef0123456789abcdef"


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(data_dir=tmp_path / "data", roots=[], _env_file=None)
    async with open_service(settings) as service:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client


@pytest.fixture
def delivered() -> Iterator["queue.Queue[tuple[str, Any]]"]:
    """What reaches Phoenix."""
    requests: queue.Queue[tuple[str, Any]] = queue.Queue()

    def take(request: httpx.Request) -> httpx.Response:
        requests.put((request.url.path, json.loads(request.content)["data"]))
        return httpx.Response(200, json={"data": []})

    channel = Annotations(
        "http://127.0.0.1:6006", pauses_s=(0.0,), transport=httpx.MockTransport(take)
    )
    use(channel)
    yield requests
    use(None)
    channel.close(5)


async def test_a_verdict_reaches_its_trace_and_replaces_the_callers_earlier_one(
    client: httpx.AsyncClient, delivered: "queue.Queue[tuple[str, Any]]"
) -> None:
    body = {"trace_id": TRACE, "score": 0, "comment": " It is 41 metres. "}
    taken = await client.post("/feedback", json=body)
    assert taken.status_code == 202
    path, [annotation] = delivered.get(timeout=10)
    assert path == "/v1/trace_annotations"
    assert annotation["trace_id"] == TRACE
    assert annotation["name"] == "feedback"
    assert annotation["annotator_kind"] == "HUMAN"
    assert annotation["identifier"] == "local"
    assert annotation["result"] == {
        "score": 0, "label": "bad", "explanation": "It is 41 metres."
    }  # fmt: skip


async def test_without_tracing_it_says_why_nothing_was_kept(client: httpx.AsyncClient) -> None:
    refused = await client.post("/feedback", json={"trace_id": TRACE, "score": 1})
    assert refused.status_code == 503
    assert "TANDEM_PHOENIX__ENDPOINT" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"trace_id": "../x", "score": 1},
        {"trace_id": TRACE, "score": 2},
        {"trace_id": TRACE, "score": 1, "comment": "x" * 2_001},
        {"trace_id": TRACE},
        {"trace_id": TRACE, "score": 1, "name": "grade"},
    ],
)
async def test_what_is_no_verdict_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await client.post("/feedback", json=body)).status_code == 422
