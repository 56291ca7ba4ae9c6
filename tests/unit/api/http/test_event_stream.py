"""How a run's events reach a client: at once, whole, to an end, and no further than it reads."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest
from starlette.types import Message

import api.http.event_stream
from api.http.event_stream import EventStream, TypedEvents
from api.run import Run
from errors import VectorStoreUnavailable
from graph.step import Event

DONE = Event(event="done", data={"answer": "AB"})


def token(text: str) -> Event:
    return Event(event="token", data={"text": text})


async def given(events: Iterable[Event | Exception | asyncio.Event]) -> AsyncGenerator[Event]:
    """A run: its events, waits, and failures, in order."""
    for event in events:
        if isinstance(event, Exception):
            raise event
        if isinstance(event, asyncio.Event):
            await event.wait()
        else:
            yield event


class Client:
    """Reads a response; ``reading`` cleared, it takes nothing."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self.parts: list[str] = []
        self.headers: dict[str, str] = {}
        self.closed = False
        self.came = asyncio.Event()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            return
        if message["body"]:
            self.parts.append(message["body"].decode())
            self.came.set()
            await self.reading.wait()
        self.closed = not message.get("more_body", False)

    async def read(self, *events: Event | Exception | asyncio.Event) -> None:
        """Everything, to the end."""

        async def receive() -> Message:
            return await asyncio.Future()

        response = EventStream(given(events), TypedEvents())
        await response({"type": "http", "path": "/ask"}, receive, self.send)


async def test_events_are_sent_by_name_with_json_to_the_end() -> None:
    client = Client()
    await client.read(token("Ä"), DONE)
    assert "".join(client.parts) == (
        'event: token\ndata: {"text": "\\u00c4"}\n\nevent: done\ndata: {"answer": "AB"}\n\n'
    )
    assert client.closed
    assert client.headers["content-type"].startswith("text/event-stream")
    assert client.headers["cache-control"] == "no-store"
    assert client.headers["x-accel-buffering"] == "no"
    assert "content-length" not in client.headers


async def test_a_lone_token_is_sent_before_anything_follows_it() -> None:
    client, more = Client(), asyncio.Event()
    reading = asyncio.create_task(client.read(token("A"), more, DONE))
    async with asyncio.timeout(30):
        await client.came.wait()
    assert client.parts == ['event: token\ndata: {"text": "A"}\n\n']
    more.set()
    await reading


async def test_tokens_that_wait_for_a_slow_reader_are_one() -> None:
    client, more = Client(), asyncio.Event()
    client.reading.clear()
    reading = asyncio.create_task(client.read(token("A"), more, *map(token, "BCD"), DONE))
    await client.came.wait()
    more.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    client.reading.set()
    await reading
    assert client.parts == [
        'event: token\ndata: {"text": "A"}\n\n',
        'event: token\ndata: {"text": "BCD"}\n\nevent: done\ndata: {"answer": "AB"}\n\n',
    ]


async def test_the_run_waits_for_a_reader_that_takes_nothing() -> None:
    made = 0

    async def endless() -> AsyncGenerator[Event]:
        nonlocal made
        while True:
            made += 1
            yield token("x")
            await asyncio.sleep(0)

    async with Run(endless()) as run:
        batches = run.batches()
        await anext(batches)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert made < 300
        assert len((await anext(batches))[0]["data"]["text"]) > 200
        await batches.aclose()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (VectorStoreUnavailable("Qdrant sleeps."), '"retrieval_unavailable", "message": "Qdrant'),
        (ZeroDivisionError("secret detail"), '"internal_error", "message": "Something went wrong'),
    ],
)
async def test_a_run_that_fails_ends_with_an_error_after_what_came(
    failure: Exception, said: str
) -> None:
    client = Client()
    await client.read(token("A"), failure)
    sent = "".join(client.parts)
    assert sent.startswith('event: token\ndata: {"text": "A"}\n\nevent: error\ndata: {"code": ')
    assert said in sent
    assert "secret" not in sent
    assert client.closed


async def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.http.event_stream, "HEARTBEAT_S", 0.02)
    client, more = Client(), asyncio.Event()
    reading = asyncio.create_task(client.read(token("A"), more, DONE))
    async with asyncio.timeout(30):
        while len(client.parts) < 3:
            client.came.clear()
            await client.came.wait()
    more.set()
    await reading
    assert {part[0] for part in client.parts[1:-1]} == {":"}
    assert client.parts[-1].startswith("event: done")


async def test_a_reader_that_takes_nothing_for_long_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.http.event_stream, "STALLED_S", 0.02)
    client, ended = Client(), asyncio.Event()
    client.reading.clear()

    async def run() -> AsyncGenerator[Event]:
        try:
            yield token("A")
            await asyncio.Future()
        finally:
            ended.set()

    response = EventStream(run(), TypedEvents())
    scope: dict[str, Any] = {"type": "http", "path": "/ask"}
    async with asyncio.timeout(30):
        await response(scope, asyncio.Future, client.send)
    assert ended.is_set()
    assert not client.closed


async def test_a_run_ends_cleanly_however_often_its_reader_is_cancelled() -> None:
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def run() -> AsyncGenerator[Event]:
        try:
            yield token("A")
            began.set()
            await asyncio.Future()
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    async def read() -> None:
        async with Run(run()) as reading:
            async for _ in reading.batches():
                pass

    task = asyncio.create_task(read())
    await began.wait()
    for _ in range(5):  # as anyio does until the task ends
        task.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await cleaned.wait()
    with contextlib.suppress(asyncio.CancelledError):
        await task
