"""A simulated language-model server: vLLM's protocol, the engine's costs, the script's words.

Speaks ``/v1/models``, ``/v1/chat/completions`` (streamed or not), vLLM's batch of conversations,
``/tokenize``, ``/reset_prefix_cache`` and ``/metrics`` with vLLM's names. Takes no time until it is
told to at ``/take_time``, and takes traces without looking at them. Runs in a process of its own,
so that its work is not its clients'.
"""

import asyncio
import contextlib
import json
import multiprocessing
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection as Pipe
from typing import Any

from benchmarks.agentic_engine import INSTANT, Engine, Rates, Request, block_hashes
from benchmarks.agentic_script import Reply, ScriptedModel, UnknownQuestion, rendered, tokens

MODEL = "simulated"
_CONTEXT = 16_384
_SETTLE_S = 0.01
"""Before work that takes no time: what is sent together must not be taken for rounds."""
_BEHIND_S = 0.05
"""How far the engine's clock may be behind: a busy machine must not make it faster later."""


class SimulatedServer:
    """One model behind one engine."""

    def __init__(self, model: ScriptedModel, rates: Rates) -> None:
        self._model, self._engine, self._rates = model, Engine(INSTANT), rates
        self._written: dict[Request, asyncio.Queue[None]] = {}
        self._work = asyncio.Event()
        self._kinds: Counter[str] = Counter()
        self._finished_rounds = self._rounds = 0

    async def run(self) -> None:
        """The engine's steps, each as long as it takes."""
        clock = asyncio.get_running_loop().time
        until = clock()
        while True:
            step = self._engine.plan()
            if step is None:
                self._work.clear()
                await self._work.wait()
                if self._engine.rates is INSTANT:
                    await asyncio.sleep(_SETTLE_S)
                until = clock()
                continue
            until = max(until, clock() - _BEHIND_S) + step.seconds
            await asyncio.sleep(max(0.0, until - clock()))
            for request in self._engine.finish(step):
                self._written[request].put_nowait(None)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request at a time."""
        with (
            contextlib.closing(writer),
            contextlib.suppress(ConnectionError, asyncio.IncompleteReadError),
        ):
            while line := await reader.readline():
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = await reader.readexactly(length)
                await self._answer(line.split()[1].decode(), body, reader, writer)

    async def _answer(
        self, path: str, raw: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if path.startswith("/v1/chat/completions"):
            await self._chat(path.endswith("/batch"), json.loads(raw), reader, writer)
        elif path == "/v1/models":
            model = {"id": MODEL, "object": "model", "root": MODEL, "max_model_len": _CONTEXT}
            _send(writer, {"object": "list", "data": [model]})
        elif path == "/metrics":
            _send(writer, self._metrics())
        elif path == "/reset_prefix_cache":
            self._engine.forget()
            self._finished_rounds = self._rounds = 0
            _send(writer, {})
        elif path == "/take_time":
            self._engine.rates = self._rates
            _send(writer, {})
        elif path == "/tokenize":
            body = json.loads(raw)
            pieces = tokens(body.get("prompt") or rendered(body.get("messages", [])))
            _send(writer, {"tokens": list(range(len(pieces))), "token_strs": pieces})
        elif path == "/v1/traces":
            _send(writer, {})
        else:
            _send(writer, {"detail": "Not Found"}, "404 Not Found")
        await writer.drain()

    async def _chat(
        self,
        batch: bool,
        body: Mapping[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        conversations = body["messages"] if batch else [body["messages"]]
        try:
            replies = [self._model.reply(body, messages) for messages in conversations]
        except UnknownQuestion as exc:
            _send(writer, {"error": {"message": str(exc), "code": 400}}, "400 Bad Request")
            return
        requests = [
            self._begin(reply, messages)
            for reply, messages in zip(replies, conversations, strict=True)
        ]
        depth = self._finished_rounds + 1
        if replies[0].kind == "answer":
            self._rounds = depth - 1
        try:
            if body.get("stream"):
                await self._stream(replies[0], requests[0], body, reader, writer)
            else:
                for request in requests:
                    async for _ in self._tokens(request, reader):
                        pass
                choices = [_choice(number, reply) for number, reply in enumerate(replies)]
                usage = _usage(requests)
                _send(writer, {**_envelope("chat.completion"), "choices": choices, "usage": usage})
            self._finished_rounds = max(self._finished_rounds, depth)
        finally:
            for request in requests:
                self._engine.cancel(request)
                del self._written[request]

    def _begin(self, reply: Reply, messages: Sequence[Mapping[str, Any]]) -> Request:
        pieces = tokens(rendered(messages))
        request = Request(block_hashes(pieces), len(pieces), reply.length)
        self._written[request] = asyncio.Queue()
        self._engine.add(request)
        self._kinds[f'requests{{kind="{reply.kind}"}}'] += 1
        self._kinds[f'tokens{{kind="{reply.kind}"}}'] += reply.length
        self._work.set()
        return request

    async def _tokens(self, request: Request, reader: asyncio.StreamReader) -> AsyncIterator[None]:
        """Each token when it is there; ends the work of a client that has gone."""
        for _ in range(request.reply):
            await self._written[request].get()
            if reader.at_eof():
                raise ConnectionResetError
            yield

    async def _stream(
        self,
        reply: Reply,
        request: Request,
        body: Mapping[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        head = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}".encode())
        pieces = iter(reply.pieces if reply.search is None else [])
        async for _ in self._tokens(request, reader):
            first = {"role": "assistant"} if request.written == 1 else {}
            piece = next(pieces, None)
            if piece is not None:
                _event(writer, [{"index": 0, "delta": {**first, "content": piece}}])
                await writer.drain()
        delta: dict[str, Any] = {}
        if reply.search is not None:
            delta = {"role": "assistant", "tool_calls": [{"index": 0, **_call(reply.search)}]}
        _event(writer, [{"index": 0, "delta": delta, "finish_reason": _reason(reply)}])
        if (body.get("stream_options") or {}).get("include_usage"):
            _event(writer, [], usage=_usage([request]))
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _metrics(self) -> str:
        counted = asdict(self._engine.counters)
        lines = [f"vllm:{name}_total {value}" for name, value in counted.items()]
        lines += [f"simulated:{name} {value}" for name, value in self._kinds.items()]
        return "\n".join([*lines, f"simulated:rounds_before_answer {self._rounds}", ""])


def _choice(number: int, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.search is not None:
        message.update(content=None, tool_calls=[_call(reply.search)])
    logprobs = None
    if reply.choices:
        top = [
            {"token": choice, "logprob": -0.01 if place == 0 else -5.0}
            for place, choice in enumerate(reply.choices)
        ]
        logprobs = {"content": [{**top[0], "top_logprobs": top}]}
    choice = {"index": number, "message": message, "logprobs": logprobs}
    return {**choice, "finish_reason": _reason(reply)}


def _call(query: str) -> dict[str, Any]:
    arguments = json.dumps({"query": query})
    function = {"name": "retrieve_passages", "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function}


def _reason(reply: Reply) -> str:
    if reply.search is not None:
        return "tool_calls"
    return "length" if reply.cut else "stop"


def _usage(requests: Sequence[Request]) -> dict[str, Any]:
    prompt, reply = sum(r.prompt for r in requests), sum(r.reply for r in requests)
    cached = {"cached_tokens": sum(r.cached for r in requests)}
    counts = {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}
    return {**counts, "prompt_tokens_details": cached}


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": "simulated-1", "object": kind, "created": 1, "model": MODEL}


def _event(writer: asyncio.StreamWriter, choices: list[Any], **more: Any) -> None:
    event = {**_envelope("chat.completion.chunk"), "choices": choices, **more}
    _chunk(writer, b"data: " + json.dumps(event).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _send(writer: asyncio.StreamWriter, content: object, status: str = "200 OK") -> None:
    kind = "text/plain" if isinstance(content, str) else "application/json"
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def serve(ready: Pipe, cases: list[dict[str, Any]], answer_tokens: int, rates: Rates) -> None:
    """Serve for ever, and tell the port."""

    async def main() -> None:
        simulated = SimulatedServer(ScriptedModel(cases, answer_tokens), rates)
        server = await asyncio.start_server(simulated.connection, "127.0.0.1", 0, limit=1 << 22)
        ready.send(server.sockets[0].getsockname()[1])
        async with server:
            await asyncio.gather(server.serve_forever(), simulated.run())

    asyncio.run(main())


@contextlib.contextmanager
def simulated(cases: list[dict[str, Any]], answer_tokens: int, rates: Rates) -> Iterator[str]:
    """The root URL of such a server in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, cases, answer_tokens, rates)
    process = context.Process(target=serve, args=arguments, daemon=True)
    process.start()
    try:
        if not ours.poll(60):
            raise SystemExit("The simulated server did not start.")
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join(10)
