"""``/mcp`` as agents meet it: a real service, the clients of two libraries, keys and tenants."""

from collections.abc import Iterator
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.mcp_clients import (
    ACCEPT,
    ERAS,
    INITIALIZE,
    call,
    fastmcp_over_http,
    over_http,
    refused,
    text_of,
)
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"
TOOLS = {"search", "fetch", "ask", "list_sources", "index_status"}
each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("mcp")
    root = write_corpus(folder / "vardholm")
    sentences = "\n\n".join(f"## Part {n}\n\n{f'Sentence {n}. ' * 40}" for n in range(120))
    (root / "a long way.md").write_text(f"# A long way\n\n{sentences}\n")
    theirs = folder / "secret"
    theirs.mkdir()
    (theirs / "office.md").write_text("# Office\n\nThe lighthouse of Acme opens with 4711.\n")
    tenants = {"TANDEM_TENANTS__ACME": str(theirs)}
    with running_service(folder / "data", root, _free_port(), **tenants) as running:
        yield running


@each_era
async def test_a_model_searches_and_reads_what_it_found(service: RunningService, era: str) -> None:
    async with over_http(service.url, era=era) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        found = await call(client, "search", query=QUESTION, k=2)
        best = found["results"][0]
        assert best["title"] == "vardholm/lighthouse.md, lines 1-18: Vardholm lighthouse"
        assert "Ottilie Brandt" in best["text"]
        read = await call(client, "fetch", id=best["id"])
        assert (read["id"], read["url"]) == (best["id"], best["url"])
        assert read["text"].startswith("# Vardholm lighthouse")
        assert read["metadata"]["source"] == "vardholm/lighthouse.md"


@each_era
async def test_an_answer_is_cited_and_its_making_is_told(service: RunningService, era: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with over_http(service.url, era=era) as client:
        result = await client.call_tool("ask", {"question": QUESTION}, progress_callback=tell)
    answer: dict[str, Any] = result.structured_content or {}
    assert answer["status"] == "answered"
    (source,) = answer["sources"]
    assert "Ottilie Brandt" in source["quote"]
    assert source["title"] == "vardholm/lighthouse.md, line 5: Vardholm lighthouse"
    messages = [message for _, message in told]
    assert messages[0] == "Searching the documents"
    assert "Writing the answer" in messages
    assert [number for number, _ in told] == sorted({number for number, _ in told})


async def test_fastmcps_client_uses_all_of_it(service: RunningService) -> None:
    async with fastmcp_over_http(service.url) as client:
        found = await client.call_tool("search", {"query": "puffins", "type": "html"})
        assert "3,200 pairs" in found.structured_content["results"][0]["text"]
        answered = await client.call_tool("ask", {"question": QUESTION})
        assert "Ottilie Brandt" in answered.structured_content["answer"]
        read = await client.read_resource("tandem://documents/vardholm/ferry.txt")
        assert "14 crowns" in read[0].text
        prompt = await client.get_prompt("answer_with_citations", {"question": QUESTION})
        assert QUESTION in prompt.messages[0].content.text
        with pytest.raises(Exception, match="The question is empty"):
            await client.call_tool("search", {"query": "  "})


async def test_a_long_document_is_read_to_its_end_piece_by_piece(service: RunningService) -> None:
    whole = (service.data_dir.parent / "vardholm" / "a long way.md").read_text()
    assert len(whole) > 50_000
    pieces, following = [], "vardholm/a long way.md"
    async with over_http(service.url) as client:
        while following:
            read = await call(client, "fetch", id=following)
            assert len(read["text"]) <= 20_000
            pieces.append(read["text"])
            following = read["metadata"].get("read_on")
        (page,) = (await client.read_resource(read["url"])).contents
    assert "".join("".join(pieces).split()) == "".join(whole.split())
    assert "".join(getattr(page, "text", "").split()) == "".join(pieces[-1].split())


async def test_large_results_are_cut_and_say_how_to_get_more(service: RunningService) -> None:
    async with over_http(service.url) as client:
        found = await client.call_tool("search", {"query": "sentence part way", "k": 20})
        assert len(text_of(found)) < 30_000
        (page,) = (
            await client.read_resource("tandem://documents/vardholm/a%20long%20way.md")
        ).contents
        text = getattr(page, "text", "")
        assert len(text) < 21_000
        assert text.splitlines()[-1].startswith("[Read on at tandem://documents/vardholm/a%20long")
        first = await call(client, "list_sources", limit=2)
        rest = await call(client, "list_sources", offset=first["next_offset"])
        assert (first["total"], first["next_offset"], rest["next_offset"]) == (5, 2, None)
        assert len({source["source"] for source in first["sources"] + rest["sources"]}) == 5


async def test_errors_say_what_to_do(service: RunningService) -> None:
    async with over_http(service.url) as client:
        assert "The question is empty" in await refused(client, "ask", question=" ")
        assert "cannot name a conversation" in await refused(
            client, "ask", question=QUESTION, thread_id="../up"
        )
        assert "Search again" in await refused(
            client, "fetch", id="00000000-0000-0000-0000-000000000000"
        )
        assert "lists the sources" in await refused(client, "fetch", id="vardholm/gone.md")
        assert "no address of a document" in await refused(client, "fetch", id="tandem://x/y")
        assert "less than or equal to 20" in await refused(client, "search", query="x", k=21)
        assert "cannot be used: since" in await refused(client, "search", query="x", since="soon")
        assert "Unknown tool" in await refused(client, "delete_everything")
        with pytest.raises(MCPError, match="holds nothing of"):
            await client.read_resource("tandem://documents/vardholm/gone.md")
        with pytest.raises(MCPError):
            await client.read_resource("tandem://documents/../../etc/passwd")


async def test_nobody_reads_what_belongs_to_another_tenant(service: RunningService) -> None:
    async with over_http(service.url) as client:
        found = await call(client, "search", query="The lighthouse of Acme opens with", k=20)
        assert "4711" not in str(found)
        assert "holds nothing of" in await refused(client, "fetch", id="secret/office.md")
        listed = await call(client, "list_sources")
        assert "secret" not in str(listed)
        assert (await call(client, "index_status"))["documents"] == {"indexed": 5}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_pages_from_elsewhere_are_kept_out(
    service: RunningService, headers: dict[str, str], status: int
) -> None:
    with service.client() as client:
        answer = client.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **headers})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"jsonrpc": "2.0", "id": NaN}', "application/json", 400),
        (b'"text"', "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "initialize"}', "application/json", 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', "application/json", 400),
        (b"jsonrpc=2.0", "application/x-www-form-urlencoded", 415),
        (b"x" * 4_000_001, "application/json", 413),
    ],
)
def test_malformed_messages_are_refused_and_end_nothing(
    service: RunningService, body: bytes, kind: str, status: int
) -> None:
    with service.client() as client:
        answer = client.post("/mcp", content=body, headers={**ACCEPT, "Content-Type": kind})
        assert answer.status_code == status
        assert "Traceback" not in answer.text
        assert client.post("/mcp", json=INITIALIZE, headers=ACCEPT).status_code == 200


def test_a_session_that_is_unknown_is_to_be_begun_anew(service: RunningService) -> None:
    with service.client() as client:
        headers = {**ACCEPT, "Mcp-Session-Id": "0" * 32}
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert client.post("/mcp", json=body, headers=headers).status_code == 404
