"""``/mcp`` of a service with API keys: who is let in, what a key allows, whose a session is."""

from collections.abc import Iterator

import httpx
import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from api.keys import KeyRing
from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.mcp_clients import ACCEPT, ERAS, INITIALIZE, call, fastmcp_over_http, over_http, refused
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"
each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("mcp-keys")
    root = write_corpus(folder / "vardholm")
    theirs = folder / "secret"
    theirs.mkdir()
    (theirs / "office.md").write_text("# Office\n\nThe lighthouse of Acme opens with 4711.\n")
    tenants = {"TANDEM_TENANTS__ACME": str(theirs)}
    with running_service(folder / "data", root, _free_port(), **tenants) as running:
        yield running


@pytest.fixture(scope="module")
def keys(service: RunningService) -> dict[str, str]:
    ring = KeyRing(service.data_dir)
    return {
        "asker": ring.create("asker", ["ask"]),
        "reader": ring.create("reader", ["read"]),
        "acme": ring.create("acme", ["ask", "read"], "acme"),
    }


def test_without_a_key_nobody_is_let_in(service: RunningService, keys: dict[str, str]) -> None:
    with service.client() as client:
        answer = client.post("/mcp", json=INITIALIZE, headers=ACCEPT)
        wrong = {**ACCEPT, "Authorization": "Bearer tandem_wrong"}
        assert client.post("/mcp", json=INITIALIZE, headers=wrong).status_code == 401
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@each_era
async def test_a_key_allows_what_its_scopes_say(
    service: RunningService, keys: dict[str, str], era: str
) -> None:
    async with over_http(service.url, key=keys["asker"], era=era) as client:
        assert (await call(client, "ask", question=QUESTION))["status"] == "answered"
        assert "does not have the scope 'read'" in await refused(client, "search", query="x")
    async with over_http(service.url, key=keys["reader"], era=era) as client:
        assert (await call(client, "search", query=QUESTION))["results"]
        assert "the scope 'ask'" in await refused(client, "ask", question=QUESTION)


async def test_a_key_reaches_its_own_tenant_alone(
    service: RunningService, keys: dict[str, str]
) -> None:
    async with fastmcp_over_http(service.url, keys["acme"]) as client:
        found = await client.call_tool("search", {"query": QUESTION, "k": 20})
        titles = [result["title"] for result in found.structured_content["results"]]
        assert titles == ["secret/office.md, lines 1-3: Office"]


def test_a_session_belongs_to_the_key_that_began_it(
    service: RunningService, keys: dict[str, str]
) -> None:
    def headers(name: str) -> dict[str, str]:
        return {**ACCEPT, "Authorization": f"Bearer {keys[name]}"}

    with service.client() as client:
        begun = client.post("/mcp", json=INITIALIZE, headers=headers("acme"))
        session = {"Mcp-Session-Id": begun.headers["Mcp-Session-Id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

        def status(name: str) -> int:
            answer: httpx.Response = client.post(
                "/mcp", json=listing, headers={**headers(name), **session}
            )
            return answer.status_code

        assert [status("reader"), status("acme")] == [404, 200]


async def test_a_revoked_key_ends_its_sessions(
    service: RunningService, keys: dict[str, str]
) -> None:
    async with over_http(service.url, key=keys["reader"]) as client:
        assert (await call(client, "search", query=QUESTION))["results"]
        assert service.tandem("keys", "revoke", "reader").returncode == 0
        with pytest.raises((MCPError, httpx2.HTTPError)):
            await client.call_tool("search", {"query": QUESTION})
