"""A language model that is a script, in a process of its own: the source of every stream measured.

    python -m benchmarks.streaming_model [--rate 10]

It speaks as much of vLLM's protocol as Tandem and ``ChatOpenAI`` use, grades everything ``yes``,
and takes spans as Phoenix does. An answer has as many tokens as the question asks for, each written
as it is made: at full speed, or at a rate as of people's reading. Every token holds the time at
which it was written, in microseconds of the clock that all processes of a machine share.
"""

import argparse
import asyncio
import json
import random
import re
import time
from typing import Any

MODEL = "scripted"
STAMP = re.compile(rb"[tT]([0-9a-f]{13})z")
"""A token's time, as it is written into the token."""
_ASKED = re.compile(rb"in (\d+) words")
_SENTENCE = 20
"""Tokens after which a passage is cited and the sentence ends."""
_PHOENIX = frozenset(
    ["/v1/traces", "/v1/span_annotations", "/v1/document_annotations", "/v1/trace_annotations"]
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n"


def question(tokens: int) -> str:
    """A question that is answered with so many tokens."""
    return f"What happens when the language model server is down? Answer in {tokens} words."


def now_us() -> int:
    """The clock of the stamps."""
    return time.monotonic_ns() // 1000


def piece(number: int) -> str:
    """The text of a token that is written now."""
    begin = "T" if number % _SENTENCE == 1 else "t"  # sentences begin as sentences do
    text = f" {begin}{now_us():013x}z"
    return f"{text} [1]." if number % _SENTENCE == 0 else text


def chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    """An event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**event, "choices": [choice]}).encode() + b"\n\n"


def usage(tokens: int) -> dict[str, int]:
    """What a call is said to have cost."""
    return {"prompt_tokens": 1000, "completion_tokens": tokens, "total_tokens": 1000 + tokens}


def chosen(conversations: int) -> dict[str, Any]:
    """A ``yes`` to each conversation."""
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.4}]
    choice = {
        "message": {"role": "assistant", "content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]},
    }
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{**choice, "index": index} for index in range(conversations)],
        "usage": usage(conversations),
    }


class Script:
    """What is said, and how fast."""

    def __init__(self, rate: float) -> None:
        self._pause_s = 1 / rate if rate else 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after the other."""
        try:
            while line := await reader.readline():
                path, length = line.split()[1].decode(), 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = await reader.readexactly(length)
                await self._answer(path, body, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async def _answer(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if path.partition("?")[0] in _PHOENIX:
            _whole(writer, b"")
            return
        asked = json.loads(body) if body else {}
        if path == "/v1/models":
            _whole(writer, json.dumps({"object": "list", "data": [{"id": MODEL}]}).encode())
        elif path == "/v1/chat/completions/batch":
            _whole(writer, json.dumps(chosen(len(asked["messages"]))).encode())
        elif path == "/v1/chat/completions" and not asked.get("stream"):
            _whole(writer, json.dumps(chosen(1)).encode())
        elif path == "/v1/chat/completions":
            asked_for = _ASKED.search(body)
            await self._stream(writer, int(asked_for[1]) if asked_for else 0)
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter, tokens: int) -> None:
        chunked = b"Transfer-Encoding: chunked\r\n"
        writer.write(_HEAD % (b"text/event-stream", chunked))
        await asyncio.sleep(random.random() * self._pause_s)  # noqa: S311 - streams are not in step
        _part(writer, chunk({"role": "assistant", "content": ""}))
        for number in range(1, tokens + 1):
            await asyncio.sleep(self._pause_s)
            _part(writer, chunk({"content": piece(number)}))
            await writer.drain()
        _part(writer, chunk({}, "stop"))
        last = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        last |= {"choices": [], "usage": usage(tokens)}
        _part(writer, b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _whole(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(_HEAD % (b"application/json", b"Content-Length: %d\r\n" % len(body)) + body)


def _part(writer: asyncio.StreamWriter, part: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(part), part))


async def run(rate: float) -> None:
    """Tell the port, then serve for ever."""
    script = Script(rate)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, limit=1 << 20)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=0.0, help="tokens a second; 0: at full speed")
    options = parser.parse_args()
    asyncio.run(run(options.rate))


if __name__ == "__main__":
    main()
