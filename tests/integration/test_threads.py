"""What ``/threads`` tells of a conversation, and forgets."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import TypeAdapter

from api.keys import KeyRing
from api.service import Service, open_service
from api.threads import Conversation
from graph.events import run_events
from server import create_app
from settings import Settings
from tests.corpus import write_corpus

QUESTION = "Who built the Vardholm lighthouse?"
UNANSWERED = "Which antibiotic treats bacterial meningitis in children?"


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    root = write_corpus(tmp_path / "vardholm")
    url: str | None = None
    if request.param == "postgres":
        url = request.getfixturevalue("empty_postgres")
    settings = Settings(data_dir=tmp_path / "data", roots=[root], threads_url=url, _env_file=None)
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


def client_of(service: Service, key: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60
    )


async def ask(client: httpx.AsyncClient, question: str, thread: str) -> Any:
    body = {"question": question, "thread_id": thread, "stream": False}
    answer = await client.post("/ask", json=body)
    assert answer.status_code == 200
    return answer.json()


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


async def test_every_turn_is_told_as_it_was_shown(service: Service) -> None:
    async with client_of(service) as client:
        shown = [
            await ask(client, question, "talk")
            for question in (QUESTION, UNANSWERED, "How high is the tower?")
        ]
        told = (await client.get("/threads/talk")).json()
        turns = told["turns"]
        for turn, answered in zip(turns, shown, strict=True):
            html = turn["result"].pop("html")
            assert turn["result"] == answered
            assert html.startswith("<p>")
            assert turn["stopped"] is False
        assert told["last"]["question"] == "How high is the tower?"
        TypeAdapter(Conversation).validate_python((await client.get("/threads/talk")).json())
        assert (await client.delete("/threads/talk")).status_code == 204
        assert await service.threads.remembered("default/talk") == []


async def test_a_conversation_of_an_earlier_version_is_told_in_words(service: Service) -> None:
    async with client_of(service) as client:
        await ask(client, QUESTION, "talk")
        await service.threads.forget("default/talk")
        await older_turn(service, QUESTION, "default/talk")  # nothing is kept of it but the state
        told = (await client.get("/threads/talk")).json()
        (turn,) = told["turns"]
        assert (turn["result"], turn["stopped"]) == (None, False)
        assert "Ottilie Brandt" in turn["html"]
        assert told["last"]["citations"]
        await ask(client, "How high is the tower?", "talk")
        first, second = (await client.get("/threads/talk")).json()["turns"]
        assert first["result"] is None
        assert second["result"]["citations"]


async def older_turn(service: Service, question: str, thread: str) -> None:
    """A run on a thread that keeps its state alone."""
    graph = service.graph.copy({"checkpointer": service.threads.checkpointer})
    async for _ in run_events(graph, question, service.context(), thread=thread):
        pass


async def test_a_run_that_breaks_off_before_it_writes_changes_no_turn(service: Service) -> None:
    async with client_of(service) as client:
        before = await ask(client, QUESTION, "talk")
        events = service.answer("How high is the tower?", service.context(), "talk")
        async for event in events:
            if event["event"] == "step" and event["data"]["state"] == "finished":
                break
        await events.aclose()
        told = (await client.get("/threads/talk")).json()
    assert [turn["question"] for turn in told["turns"]] == [QUESTION]
    assert told["last"] == {**before, "html": told["last"]["html"]}


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
