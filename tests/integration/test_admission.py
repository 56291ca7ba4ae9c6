"""A service with no room: every route that answers says so before its answer begins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission import Admission
from api.security import local_caller
from api.service import Service, open_service
from errors import TooManyRequests
from mcp_bridge.service_library import ServiceLibrary
from server import create_app
from settings import Settings

QUESTION = "Which colour has the lamp in the hall?"
ROUTES = [
    ("/ask", {"question": QUESTION}),
    ("/ask", {"question": QUESTION, "stream": False}),
    ("/rag/invoke", {"input": {"question": QUESTION}}),
    ("/rag/stream", {"input": {"question": QUESTION}}),
    ("/search", {"query": QUESTION}),
]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = Settings(data_dir=tmp_path / "data", roots=[], _env_file=None)
    async with open_service(settings) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # LangServe does
@pytest.mark.parametrize(("path", "body"), ROUTES)
async def test_a_full_service_refuses_with_a_time_to_come_again(
    service: Service, client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    service.admission = Admission(1, 0)
    async with service.admission.turn(contextlib.nullcontext()):
        refused = await client.post(path, json=body)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "too_busy"
    assert (await client.post(path, json=body)).status_code == 200


async def test_a_caller_who_asks_too_often_is_told_when_to_come_again(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.admission = Admission(9, 9, per_minute=2)
    body = {"question": QUESTION, "stream": False}
    answers = [await client.post("/ask", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30


async def test_searches_count_as_questions_do(service: Service, client: httpx.AsyncClient) -> None:
    service.admission = Admission(9, 9, per_minute=2)
    library = ServiceLibrary(service, local_caller(service))
    assert (await client.post("/search", json={"query": QUESTION})).status_code == 200
    await library.search(QUESTION, k=3)
    refused = await client.post("/search", json={"query": QUESTION})
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    with pytest.raises(TooManyRequests, match="may ask 2 times a minute"):
        await library.search(QUESTION, k=3)
    asked = await client.post("/ask", json={"question": QUESTION})
    assert asked.status_code == 429


async def test_more_questions_than_turns_are_all_answered(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.admission = Admission(2, 100)
    body = {"question": QUESTION, "stream": False}
    answers = await asyncio.gather(*(client.post("/ask", json=body) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
