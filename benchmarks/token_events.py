"""Our own processor time for each token of an answer, with tracing on, beside the stock stack.

    make bench-tokens

The server is another process that streams as vLLM does, an event in each chunk of HTTP. What is
measured is the client alone: the whole graph as ``run_events`` gives it, and a LangGraph node with
``ChatOpenAI`` read by the "messages" stream and traced by openinference, as the tutorials have it.
A figure is the difference between long answers and short ones, for each token, so that what an
answer costs once is not in it. ``at_once``: the server writes as fast as it can. ``one_by_one``:
it waits after each token, so that each arrives alone. Rounds are interleaved.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection as Pipe
from typing import Any, cast

import httpx
from langchain_core.documents import Document
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import SecretStr
from typing_extensions import TypedDict

from backends.connections import Backends
from backends.extractive.reader import ExtractiveReader
from backends.language_model import LanguageModel
from backends.tracing import start_tracing
from benchmarks.measuring import report, show, span, spread, tell
from graph.builder import build_graph
from graph.context import RagContext
from graph.events import run_events
from settings import GradingSettings, LanguageModelSettings, PhoenixSettings, Settings

SHORT, LONG = 64, 1088
PAUSE_S = 0.0005
"""Between tokens that come one by one: longer than the client needs for one."""
QUESTION = "What happens when the server of the language model is down?"
TEXT = "The extractive reader takes over for the rest of the run, and the answer is labelled."
WORDS = [*(f" word{n}" for n in range(11)), " [1]."]
"""A sentence of twelve tokens, cited."""

_FIRST = {"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "yes", "logprob": -0.1}]}
CHOSEN = json.dumps(
    {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "yes"},
                "finish_reason": "stop",
                "logprobs": {"content": [_FIRST]},
            }
        ]
    }
).encode()

Call = Callable[[int], Awaitable[int]]
"""Answers with so many tokens; returns how many characters came."""


class Found:
    """A store that has found one passage."""

    async def search(self, query: str, **_: object) -> list[Document]:
        return [Document(TEXT, id="1", metadata={"source": "docs/a.md", "score": 1.0})]


def serve(ready: Pipe) -> None:
    """Stream as many tokens as were asked for; a model named ``slow`` pauses after each."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            path, length = line.split()[1].decode(), 0
            while (header := await reader.readline()).strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = json.loads(await reader.readexactly(length)) if length else {}
            if path.endswith("/models"):
                listed = {"object": "list", "data": [{"id": "fast"}, {"id": "slow"}]}
                _answer(writer, json.dumps(listed).encode())
            elif path.endswith("/completions") and not body.get("stream"):
                _answer(writer, CHOSEN)
            elif not body.get("stream"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
            else:
                await _stream(writer, body["max_completion_tokens"], body["model"] == "slow")
            await writer.drain()

    async def main() -> None:
        server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=1 << 20)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)


async def _stream(writer: asyncio.StreamWriter, tokens: int, slowly: bool) -> None:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode())
    for number in range(tokens):
        writer.write(_chunk(_event({"content": WORDS[number % len(WORDS)]})))
        if slowly:
            await writer.drain()
            await asyncio.sleep(PAUSE_S)
    writer.write(_chunk(_event({}, "stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


def ours(url: str, model: str, verification: str, opened: AsyncExitStack) -> Call:
    """The whole graph, as every entry point reads it; what it opens is closed with ``opened``."""
    graphs = {}
    for tokens in (SHORT, LONG):
        llm = LanguageModelSettings(base_urls=[url], model=model, max_answer_tokens=tokens)
        settings = Settings(_env_file=None, llm=llm, grading=GradingSettings(strategy="off"))
        backends = Backends(
            settings=settings,
            embeddings=cast(Any, None),
            sparse=cast(Any, None),
            store=cast(Any, Found()),
            extractive=ExtractiveReader(cast(Any, None)),
            language_model=(language_model := LanguageModel(llm)),
        )
        opened.push_async_callback(language_model.aclose)
        graphs[tokens] = build_graph(backends)
    context = RagContext(verification=cast(Any, verification))

    async def answer(tokens: int) -> int:
        length = 0
        async for event in run_events(graphs[tokens], QUESTION, context):
            if event["event"] == "token":
                length += len(event["data"]["text"])
        return length

    return answer


class _State(TypedDict):
    answer: str


class _Context(TypedDict):
    tokens: int


def stock(url: str, model: str) -> Call:
    """``ChatOpenAI`` in a node, and LangGraph's "messages"."""
    chat = ChatOpenAI(model=model, base_url=url, api_key=SecretStr("none"), max_retries=0)

    async def generate(state: _State, runtime: Runtime[_Context]) -> _State:
        pieces = chat.astream(QUESTION, max_completion_tokens=runtime.context["tokens"])
        return {"answer": "".join([piece.text async for piece in pieces])}

    builder = StateGraph(_State, context_schema=_Context)
    builder.add_node("generate", generate)
    builder.add_edge(START, "generate")
    builder.add_edge("generate", END)
    graph = builder.compile()

    async def answer(tokens: int) -> int:
        length = 0
        stream = graph.astream(
            {"answer": ""}, context=_Context(tokens=tokens), stream_mode="messages"
        )
        async for message, _ in stream:
            length += len(cast(Any, message).text)
        return length

    return answer


async def measure(url: str, rounds: int, opened: AsyncExitStack) -> dict[str, Any]:
    """Microseconds of processor time a token, by pace and by who reads, a figure a round."""
    calls: dict[str, Call] = {}
    for pace, model in (("at_once", "fast"), ("one_by_one", "slow")):
        calls[f"{pace}/tandem"] = ours(url, model, "off", opened)
        calls[f"{pace}/tandem_verifying"] = ours(url, model, "annotate", opened)
        calls[f"{pace}/stock"] = stock(url, model)
    for call in calls.values():
        await call(SHORT)
        await call(LONG)
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for done in range(rounds):
        for name, call in calls.items():
            short, long = await _spent(call, SHORT), await _spent(call, LONG)
            figures[name].append((long - short) / (LONG - SHORT) * 1e6)
        tell(f"round {done + 1} of {rounds}")
    return {name: spread(values, 1) for name, values in figures.items()}


async def _spent(call: Call, tokens: int) -> float:
    begun = time.process_time()
    length = await call(tokens)
    spent = time.process_time() - begun
    assert length > tokens, "the whole answer came"
    return spent


async def traced(url: str, rounds: int) -> dict[str, Any]:
    """The same with tracing on, into a Phoenix that takes everything at once."""
    takes = httpx.MockTransport(lambda _: httpx.Response(200))
    tracing = start_tracing(PhoenixSettings(endpoint="http://127.0.0.1:6006"), transport=takes)
    try:
        async with AsyncExitStack() as opened:
            return await measure(url, rounds, opened)
    finally:
        await tracing.aclose()


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    ours_end, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours_end.recv()}/v1"
        figures = asyncio.run(traced(url, arguments.rounds))
    finally:
        server.terminate()
    show(
        "Processor time a token, in µs, with tracing on: median (least to most)",
        ("", "µs"),
        [(name, span(values)) for name, values in figures.items()],
    )
    report({"short": SHORT, "long": LONG, "rounds": arguments.rounds, "us_per_token": figures})


if __name__ == "__main__":
    main()
