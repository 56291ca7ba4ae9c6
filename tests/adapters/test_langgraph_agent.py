"""``langchain-mcp-adapters``: a LangGraph agent with our tools, over both transports.

It brings the first version of the MCP SDK, which many agents have: ``make test-adapters``.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.mcp_clients import bridge_command
from tests.running_service import RunningService, running_service

ENVIRONMENT = Path(__file__).parents[2] / ".venv-adapters"
AGENT = Path(__file__).with_name("agent.py")
QUESTION = "Who built the Vardholm lighthouse?"
WITHIN_S = 90.0

pytestmark = pytest.mark.skipif(
    not list(ENVIRONMENT.glob("installed-*")), reason="needs `make test-adapters`"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("adapters")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.fixture(params=["stdio", "streamable_http"])
def connection(request: pytest.FixtureRequest, service: RunningService) -> dict[str, Any]:
    """How the adapters are told to reach the bridge."""
    if request.param == "stdio":
        server = bridge_command(service.data_dir)
        started = {"command": server.command, "args": server.args, "env": server.env}
        return {"transport": "stdio", **started}
    return {"transport": "streamable_http", "url": f"{service.url}/mcp"}


async def agent(connection: dict[str, Any], *calls: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(str(ENVIRONMENT / "bin" / "python"), str(AGENT)),
        json.dumps({"connection": connection, "calls": calls}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(output)
    return told


async def test_an_agent_searches_reads_and_asks(connection: dict[str, Any]) -> None:
    told = await agent(
        connection,
        {"name": "search", "args": {"query": QUESTION, "k": 2}},
        {"name": "fetch", "args": {"id": "vardholm/ferry.txt"}},
        {"name": "ask", "args": {"question": QUESTION}},
        {"name": "list_sources", "args": {}},
    )
    found, read, answer, listed = (json.loads(answer["text"]) for answer in told["answers"])
    assert "Ottilie Brandt" in found["results"][0]["text"]
    assert "14 crowns" in read["text"]
    assert answer["status"] == "answered"
    assert "Ottilie Brandt" in answer["sources"][0]["quote"]
    assert listed["total"] == 4
    assert told["last"] == "That is all."


async def test_what_goes_wrong_is_told_to_the_agent_which_goes_on(
    connection: dict[str, Any],
) -> None:
    told = await agent(
        connection,
        {"name": "fetch", "args": {"id": "vardholm/gone.md"}},
        {"name": "search", "args": {"query": "puffins"}},
    )
    refused, found = told["answers"]
    assert refused["status"] == "error"
    assert "holds nothing of 'vardholm/gone.md'" in refused["text"]
    assert found["status"] == "success"
    assert told["last"] == "That is all."
