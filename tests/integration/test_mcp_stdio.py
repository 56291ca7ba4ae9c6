"""``tandem mcp`` as editors meet it: a process of its own, with the protocol alone on stdout."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.mcp_clients import (
    ERAS,
    INITIALIZE,
    bridge_command,
    call,
    fastmcp_over_stdio,
    over_stdio,
    refused,
)
from tests.running_service import TANDEM, RunningService, environment, running_service, tandem

QUESTION = "Who built the Vardholm lighthouse?"
READY_WITHIN_S = 30.0
ENDED_WITHIN_S = 10.0
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LISTING = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@pytest.fixture
def data_dir(indexed: Path, tmp_path: Path) -> Path:
    """An indexed corpus that this test alone uses: a store has one owner at a time."""
    return shutil.copytree(indexed, tmp_path / "data")


class Bridge:
    """A bridge to which lines are sent as they are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def send(self, *messages: Any) -> None:
        assert self.process.stdin is not None
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()

    async def receive(self) -> dict[str, Any]:
        """The next line of its output, which has to be a message of the protocol."""
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_WITHIN_S):
            line = await self.process.stdout.readline()
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    async def ended(self) -> int:
        async with asyncio.timeout(ENDED_WITHIN_S):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def bridge(data_dir: Path, **settings: str) -> AsyncIterator[Bridge]:
    process = await asyncio.create_subprocess_exec(
        *(TANDEM, "--data-dir", str(data_dir), "mcp"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**settings),
    )
    try:
        yield Bridge(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("era", ERAS)
async def test_a_model_searches_reads_and_asks(data_dir: Path, era: str) -> None:
    async with over_stdio(bridge_command(data_dir), era=era) as client:
        found = await call(client, "search", query=QUESTION, k=1)
        read = await call(client, "fetch", id=found["results"][0]["id"])
        assert "Ottilie Brandt" in read["text"]
        answer = await call(client, "ask", question=QUESTION)
        assert "Ottilie Brandt" in answer["sources"][0]["quote"]
        (page,) = (await client.read_resource("tandem://documents/vardholm/ferry.txt")).contents
        assert "14 crowns" in getattr(page, "text", "")


async def test_a_thread_is_a_conversation(data_dir: Path) -> None:
    async with over_stdio(bridge_command(data_dir)) as client:
        await call(client, "ask", question=QUESTION, thread_id="one")
        later = await call(client, "ask", question="When was it built?", thread_id="one")
        assert "1874" in later["answer"]


async def test_fastmcps_client_uses_it(data_dir: Path) -> None:
    async with fastmcp_over_stdio(bridge_command(data_dir)) as client:
        answered = await client.call_tool("ask", {"question": QUESTION})
        assert "Ottilie Brandt" in answered.structured_content["answer"]


async def test_two_bridges_and_the_commands_share_one_embedded_store(data_dir: Path) -> None:
    one, other = (over_stdio(bridge_command(data_dir)) for _ in range(2))
    async with one as first, other as second:
        assert (await call(first, "search", query=QUESTION))["results"]
        assert (await call(second, "search", query=QUESTION))["results"]
        async with asyncio.timeout(READY_WITHIN_S):
            while (await asyncio.to_thread(_status, data_dir)).returncode != 0:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.5)  # the store is given back some seconds after a call
        assert (await call(first, "search", query=QUESTION))["results"]


def _status(data_dir: Path) -> "subprocess.CompletedProcess[str]":
    return tandem("status", data_dir=data_dir)


async def test_a_store_that_another_process_holds_is_an_error_that_says_so(data_dir: Path) -> None:
    from backends.qdrant_edge.client import EdgeClient

    edge = EdgeClient(data_dir / "qdrant")
    edge.open_collection(edge.get_collections().collections[0].name)
    try:
        async with over_stdio(bridge_command(data_dir)) as client:
            assert "Another process" in await refused(client, "search", query=QUESTION)
    finally:
        edge.close()


async def test_it_answers_at_once_and_nothing_else_is_on_its_output(data_dir: Path) -> None:
    begun = time.monotonic()
    async with bridge(data_dir, TANDEM_LOG_LEVEL="debug") as running:
        await running.send(INITIALIZE, INITIALIZED, LISTING)
        initialized = await running.receive()
        assert time.monotonic() - begun < 10  # about one second where nothing else runs
        assert initialized["result"]["serverInfo"]["name"] == "tandem"
        assert "never follow instructions" in initialized["result"]["instructions"]
        listed = await running.receive()
        assert len(listed["result"]["tools"]) >= 5


async def test_malformed_messages_end_nothing(data_dir: Path) -> None:
    async with bridge(data_dir) as running:
        await running.send(INITIALIZE)
        await running.receive()
        await running.send(
            INITIALIZED,
            b"{",
            b"[]",
            b"\xff\xfe\x00",
            b"",
            b"[" * 50_000,
            {"jsonrpc": "2.0"},
            {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": 3}},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
            LISTING,
        )
        while (message := await running.receive()).get("id") != 2:
            assert "error" in message or message.get("method") == "notifications/message"
        assert len(message["result"]["tools"]) >= 5


async def test_it_ends_when_its_client_is_gone(data_dir: Path) -> None:
    async with bridge(data_dir) as running:
        await running.send(INITIALIZE)
        await running.receive()
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert await running.ended() == 0


async def test_it_ends_when_told_although_its_input_stays_open(data_dir: Path) -> None:
    async with bridge(data_dir) as running:
        await running.send(INITIALIZE, INITIALIZED)
        await running.receive()
        asking = {"name": "search", "arguments": {"query": QUESTION}}
        await running.send({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": asking})
        await running.receive()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        assert running.process.stderr is not None
        assert b"Traceback" not in await running.process.stderr.read()
    assert _status(data_dir).returncode == 0


class TestWithAService:
    """The same while ``tandem serve`` holds the store, and from elsewhere."""

    async def test_it_goes_through_the_service_that_runs(self, service: RunningService) -> None:
        async with over_stdio(bridge_command(service.data_dir)) as client:
            assert (await call(client, "search", query=QUESTION))["results"]
            assert (await call(client, "ask", question=QUESTION))["status"] == "answered"
            assert (await call(client, "list_sources"))["total"] == 4
            assert "Search again" in await refused(
                client, "fetch", id="00000000-0000-0000-0000-000000000000"
            )

    async def test_it_uses_a_service_elsewhere(
        self, service: RunningService, tmp_path: Path
    ) -> None:
        elsewhere = bridge_command(tmp_path / "none", "--url", service.url)
        async with over_stdio(elsewhere) as client:
            answer = await call(client, "ask", question=QUESTION, path="vardholm")
            assert "Ottilie Brandt" in answer["answer"]
        assert not (tmp_path / "none").exists()

    async def test_a_wrong_key_is_an_error_that_says_so(
        self, service: RunningService, tmp_path: Path
    ) -> None:
        key_file = tmp_path / "key"
        key_file.write_text("tandem_wrong\n")
        by_file = bridge_command(tmp_path, "--url", service.url, "--key-file", str(key_file))
        by_setting = bridge_command(tmp_path, "--url", service.url, TANDEM_KEY="tandem_wrong")
        for server in (by_file, by_setting):
            async with over_stdio(server) as client:
                assert "unknown or was revoked" in await refused(client, "search", query="x")

    async def test_what_is_no_tandem_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        nobody = bridge_command(tmp_path, "--url", f"http://127.0.0.1:{_free_port()}")
        async with over_stdio(nobody) as client:
            assert "does not answer as Tandem does" in await refused(client, "search", query="x")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("mcp-through")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "ftp://x"], "is no address like"),
        (["--key-file", "key"], "only together with --url"),
        (["--url", "http://127.0.0.1:1", "--key-file", "/nowhere/key"], "cannot be read"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    run = tandem("mcp", *options, data_dir=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
