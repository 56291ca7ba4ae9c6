"""What ``/threads`` tells of a conversation, and forgets."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from api.keys import KeyRing
from api.service import Service, open_service
from server import create_app
from settings import Settings
from tests.corpus import write_corpus

QUESTION = "Who built the Vardholm lighthouse?"


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    root = write_corpus(tmp_path / "vardholm")
    settings = Settings(data_dir=tmp_path / "data", roots=[root], _env_file=None)
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


def client_of(service: Service, key: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60
    )


async def ask(client: httpx.AsyncClient, question: str, thread: str) -> None:
    body = {"question": question, "thread_id": thread, "stream": False}
    assert (await client.post("/ask", json=body)).status_code == 200


async def test_a_conversation_is_told_turn_by_turn_and_its_last_in_full(service: Service) -> None:
    async with client_of(service) as client:
        await ask(client, QUESTION, "talk")
        await ask(client, "How high is the tower?", "talk")
        told = (await client.get("/threads/talk")).json()
    first, _ = told["turns"]
    assert first["question"] == QUESTION
    assert "Ottilie Brandt" in first["answer"]
    assert first["html"].startswith("<p>Vardholm lighthouse was built")
    last = told["last"]
    assert last["question"] == "How high is the tower?"
    assert "41 metres" in last["html"]
    assert last["citations"][0]["source"] == "vardholm/lighthouse.md"
    assert last["documents"][0]["text"]


async def test_a_forgotten_conversation_is_gone_and_forgetting_twice_is_fine(
    service: Service,
) -> None:
    async with client_of(service) as client:
        await ask(client, QUESTION, "talk")
        assert (await client.delete("/threads/talk")).status_code == 204
        gone = await client.get("/threads/talk")
        assert gone.status_code == 404
        assert "begins with the first question" in gone.json()["error"]["message"]
        assert (await client.delete("/threads/talk")).status_code == 204


async def test_a_name_that_is_none_is_refused(service: Service) -> None:
    async with client_of(service) as client:
        for name in ("a b", "x" * 101, "a%2Fb"):
            assert (await client.get(f"/threads/{name}")).status_code in (404, 422)


async def test_a_thread_is_its_tenants_own(service: Service) -> None:
    ring = KeyRing(service.settings.data_dir)
    ours = ring.create("ours", ["ask"])
    theirs = ring.create("theirs", ["ask"], "acme")
    async with client_of(service, ours) as client:
        await ask(client, QUESTION, "talk")
    async with client_of(service, theirs) as client:
        assert (await client.get("/threads/talk")).status_code == 404
        assert (await client.delete("/threads/talk")).status_code == 204
        # A tenant cannot be named either.
        assert (await client.get("/threads/default%2Ftalk")).status_code == 404
    async with client_of(service, ours) as client:
        assert (await client.get("/threads/talk")).status_code == 200
    async with client_of(service, ring.create("reader", ["read"])) as client:
        assert (await client.get("/threads/talk")).status_code == 403
