"""``/search`` and ``/passages`` over HTTP: what is retrieved, whose it is, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.service import Service, open_service
from server import create_app
from settings import Settings
from tests.corpus import write_corpus

QUESTION = "Who built the Vardholm lighthouse?"
pytestmark = pytest.mark.asyncio(loop_scope="module")
WORDS = " ".join(f"word{n}" for n in range(60))
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    tmp_path = tmp_path_factory.mktemp("search")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "office.md").write_text("# Office\n\nThe lighthouse of Acme opens with code 4711.\n")
    root = write_corpus(tmp_path / "vardholm")
    (root / "long.md").write_text(
        "\n\n".join(f"# Part {n}\n\nHere stands what part {n} says. {WORDS}" for n in range(60))
    )
    settings = Settings(
        data_dir=tmp_path / "data", roots=[root], tenants={"acme": [secret]}, _env_file=None
    )
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def search(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/search", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_search_finds_passages_and_says_how_fresh_they_are(
    client: httpx.AsyncClient,
) -> None:
    found = await search(client, query=QUESTION, k=3)
    assert len(found["passages"]) == 3
    best = found["passages"][0]
    assert (best["source"], best["start_line"]) == ("vardholm/lighthouse.md", 1)
    assert "Ottilie Brandt" in best["text"]
    assert found["notice"] == ""
    assert found["index"]["state"] == "unwatched"


async def test_filters_narrow_a_search(client: httpx.AsyncClient) -> None:
    found = await search(client, query=QUESTION, filters={"type": "html"})
    assert {passage["source"] for passage in found["passages"]} == {"vardholm/birds.html"}


async def test_a_passage_is_found_again_with_those_around_it(client: httpx.AsyncClient) -> None:
    found = await search(client, query="What does part 30 say?", k=10)
    middle = next(p for p in found["passages"] if p["source"] == "vardholm/long.md")
    answer = await client.get(f"/passages/{middle['id']}", params={"before": 2, "after": 3})
    around = answer.json()
    here = middle["position"]
    assert around["passage"]["text"] == middle["text"]
    assert [p["position"] for p in around["before"]] == [here - 2, here - 1]
    assert [p["position"] for p in around["after"]] == [here + 1, here + 2, here + 3]
    alone = (await client.get(f"/passages/{middle['id']}")).json()
    assert (alone["before"], alone["after"]) == ([], [])


async def test_a_document_is_read_page_by_page_in_its_order(client: httpx.AsyncClient) -> None:
    whole = (
        await client.get("/passages", params={"source": "vardholm/long.md", "limit": 199})
    ).json()
    assert whole["next"] is None
    texts, start = [], 0
    while start is not None:
        page = await client.get(
            "/passages", params={"source": "vardholm/long.md", "start": start, "limit": 7}
        )
        assert len(page.json()["passages"]) <= 7
        texts += [passage["text"] for passage in page.json()["passages"]]
        start = page.json()["next"]
    assert texts == [passage["text"] for passage in whole["passages"]]
    assert len(texts) > 7
    assert [f"part {n} says" in "\n".join(texts) for n in range(60)] == [True] * 60


async def test_nobody_reads_what_belongs_to_another_tenant(
    client: httpx.AsyncClient, service: Service
) -> None:
    theirs = await service.backends.store.for_tenant("acme").search("Acme lighthouse code", k=1)
    assert "4711" in theirs[0].page_content
    found = await search(client, query="Acme lighthouse code 4711", k=50)
    assert not any("4711" in passage["text"] for passage in found["passages"])
    by_id = await client.get(f"/passages/{theirs[0].id}")
    by_source = await client.get("/passages", params={"source": "secret/office.md"})
    assert [by_id.status_code, by_source.status_code] == [404, 404]
    assert "4711" not in by_id.text + by_source.text


async def test_documents_are_listed_to_their_tenant_alone(client: httpx.AsyncClient) -> None:
    mine = (await client.get("/documents")).json()
    every = (await client.get("/documents", params={"all": True})).json()
    theirs = {document["source"] for document in every["documents"]} - {
        document["source"] for document in mine["documents"]
    }
    assert theirs == {"secret/office.md"}
    assert every["points"] == mine["points"] + 1


async def test_what_a_replacement_has_hidden_is_not_read(
    client: httpx.AsyncClient, service: Service
) -> None:
    best = (await search(client, query=QUESTION, k=1))["passages"][0]
    visibility = service.backends.store.visibility
    await visibility.hide([best["id"]])
    hidden = await client.get(f"/passages/{best['id']}")
    visibility.forget([best["id"]])
    shown = await client.get(f"/passages/{best['id']}")
    assert [hidden.status_code, shown.status_code] == [404, 200]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/passages/{UNKNOWN}", 404, "not_found"),
        ("/passages/no-uuid", 422, "bad_request"),
        (f"/passages/{UNKNOWN}?before=-1", 422, "bad_request"),
        ("/passages?source=vardholm/gone.md", 404, "not_found"),
        ("/passages?source=vardholm/ferry.txt&start=99", 404, "not_found"),
        ("/passages?source=../../etc/passwd", 404, "not_found"),
        ("/passages", 422, "bad_request"),
    ],
)
async def test_what_is_not_there_is_an_error_that_says_so(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "  "}, 400),
        ({"query": "x" * 9_000}, 400),
        ({"query": QUESTION, "k": 51}, 422),
        ({"query": QUESTION, "tenant": "acme"}, 422),
        ({"query": QUESTION, "filters": {"tenant": "acme"}}, 422),
        ({}, 422),
    ],
)
async def test_bad_searches_are_refused(
    client: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    assert (await client.post("/search", json=body)).status_code == status
