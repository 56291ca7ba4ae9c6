"""Two workers with little room: bounds hold for both together, and both end what they began."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.corpus import write_corpus
from tests.language_model_server import HANG, Reply, ScriptedServer, scripted, stream
from tests.ollama_server import OllamaServer
from tests.postgres_server import postgres_programs
from tests.running_workers import (
    Workers,
    is_running,
    running_workers,
    shared_backends,
)

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL is installed")

ASKED = {"question": "Who built the Vardholm lighthouse?"}
A_MINUTE = 15
"""Questions that one caller may ask."""
_BEGIN = [*stream("Ottilie Brandt", reason=None, end=()).body, HANG]
RESUMED = Reply(_BEGIN, kind="text/event-stream", resumed=stream(" built it [1]."))


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[tuple[Workers, ScriptedServer]]:
    root = write_corpus(folder / "vardholm")
    async with scripted(RESUMED) as model:
        with OllamaServer() as embeddings, shared_backends() as shared:
            running = running_workers(
                folder / "data",
                root,
                **shared,
                TANDEM_EMBEDDINGS__PROVIDER="ollama",
                TANDEM_EMBEDDINGS__BASE_URL=embeddings.url,
                TANDEM_LLM__BASE_URLS=f"{model.url}/v1",
                TANDEM_GRADING__STRATEGY="off",
                TANDEM_VERIFICATION="off",
                **settings,
            )
            workers = await asyncio.to_thread(running.__enter__)
            try:
                yield workers, model
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)


async def events(client: httpx.AsyncClient, begun: asyncio.Event) -> list[tuple[str, Any]]:
    """Those of an answer; ``begun`` is set with its first words."""
    found: list[tuple[str, Any]] = []
    name = ""
    async with client.stream("POST", "/ask", json=ASKED) as answer:
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
                if name == "token":
                    begun.set()
    return found


def gauge(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_bounds_hold_in_total_and_a_signal_lets_what_was_begun_end(tmp_path: Path) -> None:
    settings = {
        "TANDEM_MAX_RUNS": "2",
        "TANDEM_MAX_QUEUED": "1",
        "TANDEM_RATE_LIMIT_PER_MINUTE": str(A_MINUTE),
        "TANDEM_DRAIN_S": "60",
    }
    async with serving(tmp_path, **settings) as (workers, model):
        pids = workers.pids()
        async with workers.clients() as first, workers.clients() as second:
            begun = [asyncio.Event() for _ in range(3)]

            def ask(client: httpx.AsyncClient, number: int) -> "asyncio.Task[list[Any]]":
                return asyncio.create_task(events(client, begun[number]))

            runs = [ask(client, number) for number, client in enumerate(first)]
            async with asyncio.timeout(30):
                await asyncio.gather(begun[0].wait(), begun[1].wait())
                # Its worker runs only one, and yet it waits.
                runs.append(ask(second[0], 2))
                told = ""
                while not told or gauge(told, "tandem_runs_waiting") < 1:
                    told = (await second[1].get("/metrics")).text
            assert gauge(told, "tandem_runs_in_progress") == 2
            assert not begun[2].is_set()

            refused = await second[1].post("/ask", json=ASKED)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_busy")
            assert "2 questions are being answered and 1 wait" in refused.text
            assert int(refused.headers["retry-after"]) >= 1

            codes = []
            while "rate_limited" not in codes:
                refused = await second[1].post("/ask", json=ASKED)
                codes.append(refused.json()["error"]["code"])
            assert A_MINUTE <= 4 + len(codes) <= A_MINUTE + 4  # some are earned meanwhile
            assert f"may ask {A_MINUTE} times a minute" in refused.text

            workers.service.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                while (ready := await second[1].get("/readyz")).status_code == 200:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
                assert ready.json()["ready"] is False
                refused = await second[1].post("/ask", json=ASKED)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
            model.released.set()
            for run in runs:
                name, output = (await asyncio.wait_for(run, 30))[-1]
                assert name == "done"
                assert output["answer"].startswith("Ottilie Brandt built it")
        assert await asyncio.to_thread(workers.service.process.wait, 20) == 0
        assert not any(map(is_running, pids))


async def test_who_leaves_gives_the_turn_back_and_a_second_signal_waits_for_nobody(
    tmp_path: Path,
) -> None:
    settings = {"TANDEM_MAX_RUNS": "1", "TANDEM_MAX_QUEUED": "0", "TANDEM_DRAIN_S": "600"}
    async with serving(tmp_path, **settings) as (workers, model):
        pids = workers.pids()
        async with workers.clients() as first, workers.clients() as second:
            begun = asyncio.Event()
            run = asyncio.create_task(events(first[0], begun))
            await asyncio.wait_for(begun.wait(), 30)
            assert (await second[1].post("/ask", json=ASKED)).status_code == 429
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            begun = asyncio.Event()
            async with asyncio.timeout(30):
                while model.abandoned == 0:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
                while (await second[1].get("/metrics")).text.count("in_progress 1.0"):  # noqa: ASYNC110 - the same
                    await asyncio.sleep(0.05)
            run = asyncio.create_task(events(second[1], begun))
            await asyncio.wait_for(begun.wait(), 30)

            for pid in (*pids, workers.service.process.pid):  # as systemd tells all of a unit
                os.kill(pid, signal.SIGTERM)
            async with asyncio.timeout(30):
                while (await second[0].get("/readyz")).status_code == 200:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
            workers.service.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(workers.service.process.wait, 20)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        assert not any(map(is_running, pids))
