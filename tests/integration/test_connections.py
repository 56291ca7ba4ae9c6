"""Connections that never come to a request, or bring too much of one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import uvicorn

from api.http.connection import MAX_HEAD_BYTES, bounded_protocol

WITHIN_S = 0.4
MOST_SENT = 40_000_000
"""What would fit a kernel's buffers several times over."""
START = b"GET /a HTTP/1.1\r\nHost: localhost\r\n"


async def length(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the number of headers, after the whole body."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    said = f"{len(scope['headers'])} {len(body)}".encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where such a server listens."""
    config = uvicorn.Config(
        length, lifespan="off", log_config=None, http=bounded_protocol(WITHIN_S), port=0
    )
    assert config.http != "h11", "httptools is not installed: this tests nothing"
    config.load()
    state = uvicorn.Server(config).server_state

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]  # as uvicorn calls it

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def exchange(port: int, pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """How many bytes were taken, and what was answered until the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    answered = b""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        answered = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return sent, answered


def endless(start: bytes, piece: bytes) -> Iterable[bytes]:
    yield start
    for _ in range(MOST_SENT // len(piece)):
        yield piece


FLOODS = {
    "many headers": (START, b"X-A: 1234567890\r\n" * 5_000),
    "one endless header": (START + b"X-A: ", b"x" * 100_000),
    "an endless address": (b"GET /", b"x" * 100_000),
    "an endless name of a header": (START, b"x" * 100_000),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_headers_is_cut_off(port: int, flood: str) -> None:
    sent, _ = await exchange(port, endless(*FLOODS[flood]))
    assert sent < MOST_SENT / 2
    _, answered = await exchange(port, [START, b"Connection: close\r\n\r\n"])
    assert b"200 OK" in answered  # others are served as before


async def test_headers_a_little_too_large_are_told_so(port: int) -> None:
    head = START + b"X: " + b"x" * (MAX_HEAD_BYTES + 1 - len(START) - 3)
    _, answered = await exchange(port, [head])
    assert answered.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "request_header_fields_too_large"' in answered


async def test_large_headers_and_larger_bodies_are_taken(port: int) -> None:
    head = START + b"Connection: close\r\nContent-Length: 3000000\r\nX: " + b"x" * 50_000
    _, answered = await exchange(port, [head, b"\r\n\r\n", *[b"x" * 100_000] * 30])
    assert answered.endswith(b"4 3000000")


async def test_a_request_that_takes_too_long_to_begin_is_ended(port: int) -> None:
    _, answered = await exchange(port, [START])
    assert answered.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_says_nothing_is_closed_without_a_word(port: int) -> None:
    assert await exchange(port, []) == (0, b"")


async def test_requests_after_the_first_have_their_own_time(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(START + b"\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"1 0"), 30)
        await asyncio.sleep(WITHIN_S * 0.7)
    writer.write(START)
    answered = await asyncio.wait_for(reader.read(), 30)
    assert answered.startswith(b"HTTP/1.1 408 ")
    writer.close()
