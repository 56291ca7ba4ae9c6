"""A service that is told to stop: who asks then, and what becomes of answers under way."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.language_model_server import HANG, Reply, ScriptedServer, scripted, stream
from tests.running_service import RunningService, running_service

ASKED = {"question": "Who built the Vardholm lighthouse?"}
EXITS_WITHIN_S = 20.0
"""On a busy machine: interpreters take seconds to end."""

_BEGIN = [*stream("Ottilie Brandt", reason=None, end=()).body, HANG]
STUCK = Reply(_BEGIN, kind="text/event-stream")
RESUMED = Reply(_BEGIN, kind="text/event-stream", resumed=stream(" built it [1]."))


@asynccontextmanager
async def serving(
    folder: Path, reply: Reply, drain_s: float
) -> AsyncIterator[tuple[RunningService, ScriptedServer]]:
    root = write_corpus(folder / "vardholm")
    async with scripted(reply) as model:
        settings = {
            "TANDEM_LLM__BASE_URLS": f"{model.url}/v1",
            "TANDEM_GRADING__STRATEGY": "off",
            "TANDEM_VERIFICATION": "off",
            "TANDEM_DRAIN_S": str(drain_s),
        }
        running = running_service(folder / "data", root, _free_port(), **settings)
        service = await asyncio.to_thread(running.__enter__)
        try:
            yield service, model
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


class Asking:
    """A question that is being answered, read in the background."""

    def __init__(self, service: RunningService) -> None:
        self.begun = asyncio.Event()
        self._service = service
        self.events: list[tuple[str, Any]] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with client(self._service) as asks, asks.stream("POST", "/ask", json=ASKED) as answer:
            name = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self.events.append((name, json.loads(value)))
                    if name == "token":
                        self.begun.set()


def client(service: RunningService) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False)


async def not_ready(another: httpx.AsyncClient) -> httpx.Response:
    """What is answered once the signal has arrived."""
    while (ready := await another.get("/readyz")).status_code == 200:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.05)
    return ready


async def exited(service: RunningService) -> float:
    """Seconds until the process has ended, as it should."""
    began = time.monotonic()
    assert await asyncio.to_thread(service.process.wait, EXITS_WITHIN_S) == 0
    return time.monotonic() - began


async def test_answers_under_way_end_and_whoever_asks_then_is_sent_away(tmp_path: Path) -> None:
    async with serving(tmp_path, RESUMED, drain_s=60) as (service, model):
        asking = Asking(service)
        await asyncio.wait_for(asking.begun.wait(), 30)
        service.process.send_signal(signal.SIGTERM)
        async with client(service) as another, asyncio.timeout(30):
            ready = await not_ready(another)
            refused = await another.post("/ask", json=ASKED)
            listed = await another.get("/documents")
        assert ready.status_code == 503
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "stopping"
        assert int(refused.headers["retry-after"]) >= 1
        assert listed.status_code == 200
        model.released.set()
        await asyncio.wait_for(asking.task, 30)
        name, output = asking.events[-1]
        assert name == "done"
        assert output["answer"].startswith("Ottilie Brandt built it")
        await exited(service)


async def test_an_answer_that_does_not_end_is_ended_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, STUCK, drain_s=0.5) as (service, model):
        asking = Asking(service)
        await asyncio.wait_for(asking.begun.wait(), 30)
        service.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asking.task, 30)
        name, error = asking.events[-1]
        assert (name, error["code"]) == ("error", "stopping")
        await exited(service)
        assert model.abandoned == 1  # its work was ended too


async def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, STUCK, drain_s=600) as (service, _):
        asking = Asking(service)
        await asyncio.wait_for(asking.begun.wait(), 30)
        service.process.send_signal(signal.SIGTERM)
        async with client(service) as another, asyncio.timeout(30):
            await not_ready(another)
        service.process.send_signal(signal.SIGTERM)
        await exited(service)
        asking.task.cancel()
