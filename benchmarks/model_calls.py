"""Our own processor time for grading and answering, against a server that answers at once.

    make bench-model-calls

The server is another process with canned replies, so what is measured is the client alone: the
reader that serves users, by the providers ``vllm`` and ``openai``; bare ``httpx`` with the same
requests; and a ``ChatOpenAI`` call for each document, as the tutorials have it. Rounds are
interleaved; figures are medians with quartiles.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection as Pipe
from typing import Any

import httpx
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from backends.language_model import LanguageModel
from backends.reader import Passage
from nodes.prompts import CHOICES, answer_prompt, grading_prompts, shared_beginning
from nodes.reading import LanguageModelReader
from settings import LanguageModelSettings

DOCUMENTS = 6
TOKENS = 64
SECRET = b"benchmark"
QUESTION = "What happens when the server of the language model is down?"
TEXT = "The extractive reader takes over for the rest of the run, and the answer is labelled. " * 10

Call = Callable[[], Awaitable[object]]


def passages() -> list[Passage]:
    """Documents of the usual size."""
    return [
        Passage(
            id=str(number),
            text=f"{number} {TEXT}",
            source=f"docs/{number}.md",
            title="Title",
            heading="Heading",
            page=None,
            start_line=1,
            end_line=9,
            score=1.0,
            relevance=None,
            also_in=[],
        )
        for number in range(DOCUMENTS)
    ]


def canned() -> dict[str, bytes]:
    """What the server says, by path."""
    top = [
        {"token": token, "logprob": -1.0 - n} for n, token in enumerate(["yes", "no", *"abcdefgh"])
    ]
    choice = {
        "message": {"role": "assistant", "content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]},
    }
    reply: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    reply["usage"] = {"prompt_tokens": 9000, "completion_tokens": 6, "total_tokens": 9006}
    batch = [{**choice, "index": index} for index in range(DOCUMENTS)]
    return {
        "/v1/models": json.dumps({"object": "list", "data": [{"id": "m"}]}).encode(),
        "/v1/chat/completions": json.dumps({**reply, "choices": [{**choice, "index": 0}]}).encode(),
        "/v1/chat/completions/batch": json.dumps({**reply, "choices": batch}).encode(),
        "stream": b"".join([*(_event({"content": " word"}) for _ in range(TOKENS)), _END]),
    }


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


_END = _event({}, "stop") + b"data: [DONE]\n\n"


def serve(ready: Pipe) -> None:
    """Answer at once, for ever, and tell the port."""
    replies = canned()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            path, length = line.split()[1].decode(), 0
            while (header := await reader.readline()).strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            streamed = b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b"")
            body = replies["stream"] if streamed else replies.get(path)
            status, body = ("200 OK", body) if body else ("404 Not Found", b"{}")
            kind = "text/event-stream" if streamed else "application/json"
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)

    async def main() -> None:
        server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=1 << 20)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def calls(url: str, opened: AsyncExitStack) -> dict[str, Call]:
    """What is compared, by name; what they open is closed with ``opened``."""
    found = passages()
    settings = LanguageModelSettings(base_urls=[url], max_answer_tokens=TOKENS)
    other = settings.model_copy(update={"provider": "openai"})
    models = [LanguageModel(each) for each in (settings, other)]
    for model in models:
        opened.push_async_callback(model.aclose)
    reader, stock = (LanguageModelReader(model, secret=SECRET) for model in models)
    bare = httpx.AsyncClient(base_url=url)
    chat = ChatOpenAI(model="m", base_url=url, api_key=SecretStr("none"), max_retries=0)
    shared = shared_beginning(QUESTION, found, SECRET)
    prompts = grading_prompts(shared, DOCUMENTS)
    conversations = [[{"role": r, "content": c} for r, c in prompt] for prompt in prompts]
    asked = [{"role": r, "content": c} for r, c in answer_prompt(shared)]
    constrained = {"structured_outputs": {"choice": list(CHOICES)}}

    async def answer(by: LanguageModelReader) -> None:
        async for _ in by.answer(QUESTION, found):
            pass

    async def bare_answer() -> None:
        body = {"model": "m", "messages": asked, "stream": True}
        async with bare.stream("POST", "/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    json.loads(line[6:])

    async def chat_answer() -> None:
        async for _ in chat.astream(list(answer_prompt(shared))):
            pass

    async def bare_grade() -> None:
        body = {"model": "m", "messages": conversations, "logprobs": True, **constrained}
        (await bare.post("/chat/completions/batch", json=body)).json()

    async def chat_grade() -> None:
        tasks = [
            chat.ainvoke(list(p), max_tokens=1, logprobs=True, extra_body=constrained)
            for p in prompts
        ]
        await asyncio.gather(*tasks)

    return {
        "grade": lambda: reader.grade(QUESTION, found),
        "grade_provider_openai": lambda: stock.grade(QUESTION, found),
        "grade_bare_httpx_one_request": bare_grade,
        "grade_chat_openai_each": chat_grade,
        "answer": lambda: answer(reader),
        "answer_provider_openai": lambda: answer(stock),
        "answer_bare_httpx": bare_answer,
        "answer_chat_openai": chat_answer,
    }


async def measure(url: str, rounds: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of processor time a call, a figure each round."""
    async with AsyncExitStack() as opened:
        compared = calls(url, opened)
        for call in compared.values():
            await call()
        figures: dict[str, list[float]] = {name: [] for name in compared}
        for _ in range(rounds):
            for name, call in compared.items():
                begun = time.process_time()
                for _ in range(repeats):
                    await call()
                figures[name].append((time.process_time() - begun) / repeats * 1000)
    return {name: _spread(values) for name, values in figures.items()}


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median_ms": round(middle, 3), "q1_ms": round(low, 3), "q3_ms": round(high, 3)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/v1"
        figures = asyncio.run(measure(url, arguments.rounds, arguments.repeats))
    finally:
        server.terminate()
    print(json.dumps({"documents": DOCUMENTS, "answer_tokens": TOKENS, **figures}, indent=2))


if __name__ == "__main__":
    main()
