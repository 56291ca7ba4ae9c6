"""Two workers that clients take for one service, whatever happens to what they answer from."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.keys import SCOPES, KeyRing
from tests.corpus import write_corpus
from tests.ollama_server import OllamaServer
from tests.postgres_server import postgres_programs
from tests.running_workers import (
    Workers,
    await_that,
    is_running,
    running_workers,
    shared_backends,
    stopped,
)

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL is installed")

SECTIONS = 12
LONG = "vardholm/long.md"


@pytest.fixture(scope="module")
def embedding_servers() -> Iterator[tuple[OllamaServer, OllamaServer]]:
    with OllamaServer() as one, OllamaServer(model="mxbai-embed-large") as two:
        yield one, two


@pytest.fixture(scope="module")
def workers(
    tmp_path_factory: pytest.TempPathFactory,
    embedding_servers: tuple[OllamaServer, OllamaServer],
) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    root = write_corpus(folder / "vardholm")
    acme = folder / "acme"
    acme.mkdir()
    (acme / "secret.md").write_text("The ferry of Acme is painted violet.\n")
    with shared_backends() as shared:
        settings = {
            **shared,
            "TANDEM_QDRANT__TIMEOUT_S": "1",
            "TANDEM_EMBEDDINGS__PROVIDER": "ollama",
            "TANDEM_EMBEDDINGS__BASE_URL": embedding_servers[0].url,
            "TANDEM_TENANTS__ACME": str(acme),
        }
        with running_workers(folder / "data", root, **settings) as workers:
            yield workers


@pytest.fixture
async def clients(workers: Workers) -> AsyncIterator[list[httpx.AsyncClient]]:
    """One for each worker."""
    async with workers.clients() as clients:
        yield clients


def root(workers: Workers) -> Path:
    return workers.service.data_dir.parent / "vardholm"


def edition(number: int) -> str:
    """A document of many passages, each of which says of which edition it is."""
    return "\n\n".join(
        f"## Part {n} of edition{number}\n\n" + f"edition{number} harbour{n} " * 60
        for n in range(SECTIONS)
    )


def write(path: Path, text: str) -> None:
    """All at once, as editors do: half a file is a version, too."""
    beside = path.parents[1] / "beside.md"
    beside.write_text(text)
    beside.replace(path)


async def passages(client: httpx.AsyncClient, source: str = LONG) -> list[dict[str, Any]]:
    """A document's passages; none where there is no such document."""
    answer = await client.get("/passages", params={"source": source, "limit": 199})
    if answer.status_code == 404:
        return []
    found: list[dict[str, Any]] = answer.raise_for_status().json()["passages"]
    return found


def editions(found: list[dict[str, Any]]) -> set[int]:
    return {int(n) for each in found for n in re.findall(r"edition(\d+)", each["text"])}


async def until(client: httpx.AsyncClient, text: str, source: str = LONG) -> None:
    """Return when a document holds this; a change is noticed and indexed within a second or so."""
    async with asyncio.timeout(30):
        while not any(text in each["text"] for each in await passages(client, source)):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def measured(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    text = (await client.get("/metrics")).raise_for_status().text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_both_answer_and_say_the_same_of_the_service(
    workers: Workers, clients: list[httpx.AsyncClient]
) -> None:
    asked = {"question": "Who built the lighthouse?", "stream": False}
    for client in clients:
        output = (await client.post("/ask", json=asked)).raise_for_status().json()
        assert output["status"] == "degraded" or output["citations"]
        assert (output["index"]["state"], output["index"]["documents"]) == ("current", 5)
        ready = (await client.get("/readyz")).json()
        assert ready["workers"] == {"wanted": 2, "ready": 2}
        assert (await client.get("/documents")).json()["total"] == 4
        assert "/documents" in (await client.get("/openapi.json")).json()["paths"]
    assert "in 2 processes" in workers.service.written()
    assert workers.service.tandem("status").returncode == 0


async def test_a_conversation_goes_on_in_the_other_worker_one_turn_after_the_other(
    clients: list[httpx.AsyncClient],
) -> None:
    async def ask(number: int) -> None:
        question = f"What does ticket number {number} of the ferry cost?"
        asked = {"question": question, "thread_id": "shared", "stream": False}
        (await clients[number % 2].post("/ask", json=asked)).raise_for_status()

    await ask(0)
    await asyncio.gather(*map(ask, range(1, 6)))
    for client in clients:
        thread = (await client.get("/threads/shared")).raise_for_status().json()
        assert len({turn["question"] for turn in thread["turns"]}) == 6
    assert (await clients[0].delete("/threads/shared")).status_code == 204
    assert (await clients[1].get("/threads/shared")).status_code == 404


async def test_files_are_taken_indexed_and_deleted_through_any_worker(
    clients: list[httpx.AsyncClient],
) -> None:
    one, two = clients
    content = "The lantern of the pilot boat is green.\n\n" * 20_000
    sent = await one.post("/documents?wait=true", files={"file": ("boat.md", content)})
    source = sent.raise_for_status().json()["source"]
    assert (await passages(two, source)) != []
    synced = await two.post("/documents/sync", json={})
    assert "event: done" in synced.text
    assert (await two.delete(f"/documents/{source}")).status_code == 200
    assert (await passages(one, source)) == []
    refused = await one.post("/documents", files={"file": ("empty.md", "")})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_upload")


async def test_who_leaves_a_stream_of_the_leader_ends_it(
    workers: Workers, clients: list[httpx.AsyncClient], tmp_path: Path
) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    own = {"Authorization": f"Bearer {workers.token()}"}

    async def watching() -> list[str]:
        listed = (await clients[1].get("/documents", headers=own)).json()
        return [Path(each["root"]).name for each in listed["watching"]]

    asked = clients[0].stream(
        "POST", "/documents/watch", headers=own, json={"paths": [str(watched)]}
    )
    async with asked as answer:
        lines = answer.aiter_lines()  # kept: one that is thrown away closes the answer
        while await anext(lines) != "event: watching":
            pass
        assert "watched" in await watching()
    async with asyncio.timeout(30):
        while "watched" in await watching():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def test_an_mcp_session_goes_on_in_the_other_worker(
    clients: list[httpx.AsyncClient],
) -> None:
    headers = {"Accept": "application/json, text/event-stream"}
    version = {"protocolVersion": "2025-06-18", "capabilities": {}}
    asked = {**version, "clientInfo": {"name": "test", "version": "1"}}

    async def call(client: httpx.AsyncClient, method: str, **params: Any) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return (await client.post("/mcp", json=body, headers=headers)).raise_for_status()

    begun = await call(clients[0], "initialize", **asked)
    headers["Mcp-Session-Id"] = begun.headers["mcp-session-id"]
    told = await call(clients[1], "tools/list")
    assert '"index_status"' in told.text


async def test_each_search_sees_one_whole_version_while_a_document_is_replaced(
    workers: Workers, clients: list[httpx.AsyncClient]
) -> None:
    path = root(workers) / "long.md"
    write(path, edition(0))
    await until(clients[0], "edition0")
    whole = len(await passages(clients[0]))
    assert whole >= SECTIONS
    seen: list[list[set[int]]] = [[], []]
    done = False

    async def look(number: int) -> None:
        while not done:
            found = await passages(clients[number])
            assert len(found) == whole
            searched = {"query": "harbour3 edition", "k": 20, "filters": {"source": [LONG]}}
            best = (await clients[number].post("/search", json=searched)).json()["passages"]
            for each in (editions(found), editions(best)):
                assert len(each) == 1, f"parts of several versions, or of none: {each}"
                seen[number].append(each)

    looking = [asyncio.create_task(look(number)) for number in range(2)]
    async with httpx.AsyncClient(base_url=workers.service.url, trust_env=False) as another:
        for number in range(1, 7):
            write(path, edition(number))
            await until(another, f"edition{number}")
    done = True
    await asyncio.gather(*looking)
    for mine in seen:
        assert len({*map(frozenset, mine)}) > 3  # it looked while they were replaced
        assert [min(each) for each in mine] == sorted(min(each) for each in mine)


async def test_all_go_over_to_a_rebuilt_index_while_they_are_asked(
    workers: Workers,
    clients: list[httpx.AsyncClient],
    embedding_servers: tuple[OllamaServer, OllamaServer],
) -> None:
    old, new = embedding_servers
    own = {"Authorization": f"Bearer {workers.token()}"}
    done = False

    async def look(client: httpx.AsyncClient) -> int:
        asked = 0
        while not done:
            told = await client.post("/search", json={"query": f"ferry {asked}", "k": 3})
            assert told.raise_for_status().json()["notice"] == ""
            assert len(told.json()["passages"]) == 3
            asked += 1
        return asked

    async def query(client: httpx.AsyncClient, words: str) -> list[list[str]]:
        before = len(new.inputs())
        (await client.post("/search", json={"query": words})).raise_for_status()
        return new.inputs()[before:]

    async def reindex(path: str, server: OllamaServer) -> None:
        chosen = {"provider": "ollama", "base_url": server.url, "model": server.model}
        async with httpx.AsyncClient(base_url=workers.service.url, trust_env=False) as another:
            told = await another.post(path, json={"embeddings": chosen}, headers=own, timeout=60)
        assert "event: done" in told.text, told.text

    looking = [asyncio.create_task(look(client)) for client in clients]
    await reindex("/reindex", new)
    done = True
    assert min(await asyncio.gather(*looking)) > 0
    for client in clients:
        assert await query(client, "a storm") != []  # embedded by the new model
    (root(workers) / "bell.md").write_text("The fog bell weighs 640 kilograms.\n")
    for client in clients:
        await until(client, "640 kilograms", "vardholm/bell.md")
    await reindex("/reindex/rollback", old)
    for client in clients:
        assert await query(client, "a calm") == []
        await until(client, "640 kilograms", "vardholm/bell.md")


async def test_what_one_worker_counts_is_told_by_all_and_outlives_it(
    workers: Workers, clients: list[httpx.AsyncClient]
) -> None:
    runs = ("tandem_run_seconds_count",)
    before = await measured(clients[0])
    for client in (*clients, clients[0]):
        asked = {"question": "What does a ticket cost?", "stream": False}
        (await client.post("/ask", json=asked)).raise_for_status()
    for client in clients:
        now = await measured(client)
        assert now[runs] == before[runs] + 3
        assert now["tandem_http_requests_total", "POST", "/ask", "200"] >= 3
        assert now["tandem_index_documents",] >= 5
    os.kill(workers.two()[0], signal.SIGKILL)
    workers.two()
    async with httpx.AsyncClient(base_url=workers.service.url, trust_env=False) as another:
        assert (await measured(another))[runs] >= before[runs] + 3


async def test_a_killed_worker_is_replaced_and_keeps_nobody_from_indexing(
    workers: Workers,
) -> None:
    old = workers.two()
    path = root(workers) / "killed.md"
    async with workers.clients() as (_, client):
        os.kill(old[0], signal.SIGKILL)
        path.write_text("The pilot was called Sven.\n")
        begun = time.monotonic()
        await until(client, "Sven", "vardholm/killed.md")
        assert time.monotonic() - begun < 10
    new = workers.two()
    assert len({*old, *new}) == 3
    async with workers.clients() as clients:
        for each in clients:
            await until(each, "Sven", "vardholm/killed.md")


async def test_a_worker_that_does_nothing_is_ended_for_the_sake_of_the_others(
    workers: Workers,
) -> None:
    stuck = workers.two()[0]
    async with workers.clients() as (_, client):
        os.kill(stuck, signal.SIGSTOP)
        (root(workers) / "stuck.md").write_text("The cook was called Olga.\n")
        async with asyncio.timeout(30):
            while is_running(stuck):
                (await client.get("/healthz")).raise_for_status()
                await asyncio.sleep(0.1)
        await until(client, "Olga", "vardholm/stuck.md")
    assert stuck not in workers.two()


async def test_keys_and_tenants_hold_for_what_is_handed_on(workers: Workers) -> None:
    keys = KeyRing(workers.service.data_dir)
    acme = {"Authorization": f"Bearer {keys.create('acme', SCOPES, 'acme')}"}
    reader = {"Authorization": f"Bearer {keys.create('reader', ['read'])}"}
    async with workers.clients() as clients:
        for client in clients:
            for path in ("/documents", "/metrics", "/passages?source=a"):
                assert (await client.get(path)).status_code == 401
            assert (await client.post("/mcp", json={})).status_code == 401
            assert (await client.get("/readyz")).json() == {"ready": True}
            listed = (await client.get("/documents", headers=acme)).json()["documents"]
            assert [each["source"] for each in listed] == ["acme/secret.md"]
            foreign_passages = await client.get(f"/passages?source={LONG}", headers=acme)
            assert foreign_passages.status_code == 404
            synced = await client.post("/documents/sync", json={}, headers=reader)
            assert synced.status_code == 403
            foreign = {**acme, "Host": "evil.example.com"}
            assert (await client.get("/documents", headers=foreign)).status_code == 400
            page = {**acme, "Origin": "https://evil.example.com"}
            synced = await client.post("/documents/sync", json={}, headers=page)
            assert synced.status_code == 403


def test_when_the_leader_is_killed_its_workers_end_too(workers: Workers) -> None:
    pids = workers.two()
    with stopped(pids[0]):
        workers.service.process.kill()
        workers.service.process.wait()
    await_that(lambda: not any(map(is_running, pids)), "the workers have ended")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{workers.service.url}/healthz", trust_env=False)
