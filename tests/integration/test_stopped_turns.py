"""Answers that are stopped on a thread: what was written stays, and is followed upon."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.run import Run
from api.service import Service, open_service
from errors import Stopping
from graph.turns import STOPPED, STOPPED_WITHIN_S
from server import create_app
from settings import GradingSettings, LanguageModelSettings, Settings
from tests.corpus import write_corpus
from tests.language_model_server import (
    HANG,
    Reply,
    ScriptedServer,
    completion,
    scripted,
    stream,
)
from tests.pace import paced

QUESTION = "Who built the Vardholm lighthouse?"
CHAT = "/v1/chat/completions"
STUCK = Reply(
    [*stream("Ottilie Brandt built it [1]. It", reason=None, end=()).body, HANG],
    kind="text/event-stream",
)
SILENT = Reply([*stream(reason=None, end=()).body, HANG], kind="text/event-stream")


@pytest_asyncio.fixture
async def model() -> AsyncIterator[ScriptedServer]:
    async with scripted(STUCK) as server:
        yield server


@pytest_asyncio.fixture
async def service(tmp_path: Path, model: ScriptedServer) -> AsyncIterator[Service]:
    root = write_corpus(tmp_path / "vardholm")
    settings = Settings(
        data_dir=tmp_path / "data",
        roots=[root],
        llm=LanguageModelSettings(base_urls=[f"{model.url}/v1"]),
        grading=GradingSettings(strategy="off"),
        verification="off",
        _env_file=None,
    )
    async with open_service(settings) as service:
        await service.indexing.run(settings.folders)
        yield service


@asynccontextmanager
async def writing(service: Service, until: str = "token") -> AsyncIterator[None]:
    """A run on the thread that has come so far; it is cancelled at the end, as a client's is."""
    async with Run(service.answer(QUESTION, service.context(), "talk")) as run:
        async for batch in run.batches():
            if any(until in (event["event"], event["data"].get("step")) for event in batch):
                break
        yield


async def told(service: Service) -> Any:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get("/threads/talk")).json()


async def test_what_was_written_is_a_turn_that_the_next_question_follows(
    service: Service, model: ScriptedServer
) -> None:
    async with writing(service):
        pass
    assert model.abandoned == 1
    conversation = await told(service)
    (turn,) = conversation["turns"]
    assert turn["stopped"] is True
    assert turn["answer"] == "Ottilie Brandt built it [1]. It"
    assert turn["result"]["question"] == QUESTION
    assert turn["result"]["reader"] == "tiny"
    assert (turn["result"]["status"], turn["result"]["notice"]) == ("degraded", STOPPED)
    (cited,) = turn["result"]["citations"]
    texts = {document["id"]: document["text"] for document in turn["result"]["documents"]}
    assert cited["quote"] in texts[cited["id"]]
    assert conversation["last"] == turn["result"]

    model.replies[CHAT] = deque([completion("How old was Ottilie Brandt?"), stream("Old [1].")])
    events = service.answer("How old was she?", service.context(), "talk")
    async with Run(events) as run:
        output = await run.output()
    assert output["queries"][0] == "How old was Ottilie Brandt?"
    followed = str(model.asked(CHAT)[-2]["messages"])
    assert "Ottilie Brandt built it" in followed
    assert [turn["stopped"] for turn in (await told(service))["turns"]] == [True, False]


async def test_a_run_that_wrote_nothing_is_no_turn(service: Service, model: ScriptedServer) -> None:
    model.replies[CHAT] = deque([SILENT])
    async with writing(service, until="generate"):
        pass
    assert (await told(service))["error"]["code"] == "not_found"


async def test_an_answer_that_is_cut_when_the_service_ends_is_a_turn_as_well(
    service: Service,
) -> None:
    async with Run(service.answer(QUESTION, service.context(), "talk")) as run:
        batches = run.batches()
        async for batch in batches:
            if any(event["event"] == "token" for event in batch):
                break
        service.admission.drain(0.0)
        with pytest.raises(Stopping):
            await anext(batches)
        await service.admission.drained()
    assert (await told(service))["turns"][0]["stopped"] is True


async def test_a_store_that_hangs_delays_neither_the_model_nor_whoever_stops(
    service: Service, model: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(type(service.threads), "remember", hang)
    async with paced() as pace:
        async with writing(service):
            before = pace.seconds
        assert pace.seconds - before < STOPPED_WITHIN_S + 1.0
    assert begun.is_set()
    assert model.abandoned == 1


async def test_the_thread_is_held_until_the_turn_is_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    remember = type(service.threads).remember

    async def slowly(*kept: Any) -> None:
        await asyncio.sleep(0.2)
        order.append("kept")
        await remember(*kept)

    async def next_one() -> None:
        async with service.threads.turn("default/talk"):
            order.append("next")

    monkeypatch.setattr(type(service.threads), "remember", slowly)
    async with writing(service):
        waiting = asyncio.create_task(next_one())
    await waiting
    assert order == ["kept", "next"]


async def test_who_is_back_at_once_sees_the_turn_and_waits_for_no_other_run(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember = type(service.threads).remember

    async def slowly(*kept: Any) -> None:
        await asyncio.sleep(0.2)
        await remember(*kept)

    monkeypatch.setattr(type(service.threads), "remember", slowly)
    async with writing(service):
        async with paced() as pace:
            assert "error" in await told(service)  # it goes on, and was no turn before
        assert pace.seconds < STOPPED_WITHIN_S + 1.0
        back = asyncio.create_task(told(service))
        await asyncio.sleep(0)
    assert (await back)["turns"][0]["stopped"] is True
