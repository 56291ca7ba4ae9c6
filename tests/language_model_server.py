"""A language-model server on loopback that replies exactly as it is told to, also badly."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

HANG: Final = b"\x00hang"
"""In a body: say nothing more, and keep the connection open."""

DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Reply:
    """One HTTP reply. A body without an end is a connection that is cut."""

    body: Sequence[bytes]
    status: int = 200
    kind: str = "application/json"
    cut: bool = False
    resumed: "Reply | None" = None
    """What follows a ``HANG`` once the server is released."""


def completion(text: str, logprobs: dict[str, float] | None = None) -> Reply:
    """A whole chat completion; ``logprobs`` are those of the first token."""
    top = [{"token": token, "logprob": value} for token, value in (logprobs or {}).items()]
    content = [{"token": text, "logprob": 0.0 if not top else top[0]["logprob"]}]
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{**content[0], "top_logprobs": top}]} if top else None,
    }
    return Reply([json.dumps(_envelope("chat.completion", [choice])).encode()])


def batch(*texts: str | None, logprobs: Sequence[dict[str, float]] = ()) -> Reply:
    """vLLM's reply to several conversations; None leaves a choice out."""
    choices = []
    for index, text in enumerate(texts):
        if text is None:
            continue
        top = logprobs[index] if index < len(logprobs) else None
        (whole,) = json.loads(completion(text, top).body[0])["choices"]
        choices.append({**whole, "index": index})
    usage = {"prompt_tokens": 100 * len(texts), "completion_tokens": len(texts)}
    envelope = {**_envelope("chat.completion", choices), "usage": usage}
    return Reply([json.dumps(envelope).encode()])


def stream(*pieces: str, reason: str | None = "stop", end: Sequence[bytes] = (DONE,)) -> Reply:
    """A streamed completion, one event a piece; without a reason it is left unfinished."""
    events = [_event({"role": "assistant", "content": ""})]
    events += [_event({"content": piece}) for piece in pieces]
    if reason:
        events.append(_event({}, reason))
    return Reply([*events, *end], kind="text/event-stream", cut=reason is None and not end)


def error(status: int, message: str) -> Reply:
    """An error as vLLM words it."""
    body = {"error": {"message": message, "type": "BadRequest", "code": status}}
    return Reply([json.dumps(body).encode()], status=status)


def lines(*objects: dict[str, Any]) -> Reply:
    """Ollama's stream: one JSON object a line."""
    body = [json.dumps(value).encode() + b"\n" for value in objects]
    return Reply(body, kind="application/x-ndjson")


_NOT_FOUND: Final = deque([Reply([b'{"detail": "Not Found"}'], status=404)])
"""What FastAPI, and so vLLM, says of a path that it does not have."""


@dataclass
class ScriptedServer:
    """Takes the next reply of the path asked for; the last one is repeated."""

    replies: dict[str, deque[Reply]]
    url: str = ""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    listener: asyncio.Server | None = None
    connections: int = 0
    """Taken since the start."""
    abandoned: int = 0
    """Replies that hung and whose client did not wait for the rest."""

    def close(self) -> None:
        """Take no connection any more, as a machine that has gone; those that are open stay."""
        assert self.listener is not None
        self.listener.close()

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies of the requests to a path, in order."""
        return [body for asked, body in self.requests if asked == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request at a time."""
        self.connections += 1
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                self.requests.append((path, await _body(reader)))
                waiting = self.replies.get(path, _NOT_FOUND)
                reply = waiting.popleft() if len(waiting) > 1 else waiting[0]
                if not await self._send(reply, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left: that is what some of the tests are about
        finally:
            writer.close()

    async def _send(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection is still of use."""
        writer.write(
            f"HTTP/1.1 {reply.status} Scripted\r\nContent-Type: {reply.kind}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for part in (*reply.body, *(reply.resumed.body if reply.resumed else ())):
            if part is HANG:
                await writer.drain()
                if await self._hang(reader) and reply.resumed:
                    continue
                return False
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        if not reply.cut:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not reply.cut

    async def _hang(self, reader: asyncio.StreamReader) -> bool:
        """Say nothing until the server is released; or else until the client has left."""
        released = asyncio.create_task(self.released.wait())
        left = asyncio.create_task(reader.read(1))
        await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
        if not released.done():
            self.abandoned += 1
        released.cancel()
        left.cancel()
        await asyncio.wait({released, left})  # the reader takes one wait at a time
        return self.released.is_set()


@asynccontextmanager
async def scripted(
    *chat: Reply,
    path: str = "/v1/chat/completions",
    models: Sequence[str] = ("tiny",),
    max_model_len: int | None = None,
    **others: Sequence[Reply],
) -> AsyncIterator[ScriptedServer]:
    """A server whose chat replies are given; ``others`` are replies by path, ``_`` for ``/``."""
    extra = {} if max_model_len is None else {"max_model_len": max_model_len}
    listed = [{"id": model, "object": "model", **extra} for model in models]
    replies = {
        "/v1/models": deque([Reply([json.dumps({"object": "list", "data": listed}).encode()])]),
        path: deque(chat),
        **{f"/{name.replace('_', '/')}": deque(each) for name, each in others.items()},
    }
    server = ScriptedServer(replies)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.listener = listener
    port = listener.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.released.set()
        listener.close()
        await asyncio.sleep(0)


async def _body(reader: asyncio.StreamReader) -> dict[str, Any]:
    length = 0
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        if name.casefold() == "content-length":
            length = int(value)
    body: dict[str, Any] = json.loads(await reader.readexactly(length)) if length else {}
    return body


def deltas(*deltas: dict[str, Any], reason: str | None = "stop") -> Reply:
    """A streamed completion of whole deltas, for fields other than ``content``."""
    events = [_event(delta) for delta in deltas]
    return Reply([*events, _event({}, reason), DONE], kind="text/event-stream")


def _event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps(_envelope("chat.completion.chunk", [choice])).encode() + b"\n\n"


def _envelope(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": "tiny", "choices": choices}
