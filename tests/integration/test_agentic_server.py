import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from benchmarks.agentic_counting import Counts, read_counts
from benchmarks.agentic_engine import Rates
from benchmarks.agentic_script import ScriptedModel
from benchmarks.agentic_server import SimulatedServer

FACT = "The tower is 20 m high."
CASE = {"question": "How high is it?", "rewrites": [], "fact": FACT}
PROMPT = [{"role": "user", "content": f"{FACT} {'word ' * 200}How high is it?"}]
GRADE: dict[str, Any] = {
    "structured_outputs": {"choice": ["yes", "no"]},
    "max_completion_tokens": 1,
}
SLOW = Rates("test", "", step_s=0.02, prefill_tokens_per_s=1e6, context_s=0.0)


@asynccontextmanager
async def serving() -> AsyncIterator[httpx.AsyncClient]:
    simulated = SimulatedServer(ScriptedModel([CASE], answer_tokens=12), SLOW)
    running = asyncio.create_task(simulated.run())
    open_connections: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            open_connections.add(task)
        await simulated.connection(reader, writer)
        await writer.wait_closed()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, httpx.AsyncClient(base_url=url, timeout=60) as http:
        yield http
        await http.aclose()
        await asyncio.wait(open_connections, timeout=5)
    running.cancel()


async def counts(http: httpx.AsyncClient) -> Counts:
    return read_counts((await http.get("/metrics")).text)


async def chat(http: httpx.AsyncClient, path: str = "", **body: Any) -> dict[str, Any]:
    response = await http.post(f"/v1/chat/completions{path}", json=body)
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


async def test_a_batch_is_one_round_and_computes_the_shared_beginning_once() -> None:
    async with serving() as http:
        reply = await chat(http, "/batch", messages=[PROMPT] * 3, logprobs=True, **GRADE)
        counted = await counts(http)
    assert [choice["message"]["content"] for choice in reply["choices"]] == ["yes"] * 3
    (first,) = reply["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in first["top_logprobs"]] == ["yes", "no"]
    assert counted["generation_tokens"] == counted["tokens_grade"] == 3
    assert counted["request_success"] == 3
    one = counted["prefix_cache_queries"] / 3
    assert counted["prefix_cache_queries"] - counted["prefix_cache_hits"] < one + 2 * 17


async def test_a_stream_gives_every_token_its_end_and_its_usage() -> None:
    async with serving() as http:
        body = {"messages": PROMPT, "stream": True, "stream_options": {"include_usage": True}}
        text = (await http.post("/v1/chat/completions", json=body)).text
        counted = await counts(http)
    assert text.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    pieces = [event["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(pieces).startswith("The tower is 20 m high [1].")
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"]["completion_tokens"] == counted["generation_tokens"] == 12


async def test_rounds_are_requests_that_waited_for_others_before_the_answer() -> None:
    async with serving() as http:
        await chat(http, "/batch", messages=[PROMPT] * 3, **GRADE)
        await chat(http, messages=PROMPT)
        assert (await counts(http))["rounds_before_answer"] == 1
        await http.post("/reset_prefix_cache")
        await chat(http, messages=PROMPT, **GRADE)
        await chat(http, messages=PROMPT, **GRADE)
        await chat(http, messages=PROMPT)
        assert (await counts(http))["rounds_before_answer"] == 2


async def test_resetting_empties_the_prefix_cache() -> None:
    async with serving() as http:
        for _ in range(2):
            await chat(http, messages=PROMPT, **GRADE)
            await http.post("/reset_prefix_cache")
        assert (await counts(http))["prefix_cache_hits"] == 0


async def test_it_takes_its_time_when_it_is_told_to() -> None:
    async with serving() as http:
        await http.get("/take_time")
        clock = asyncio.get_running_loop().time
        begun = clock()
        await chat(http, messages=PROMPT)
        assert clock() - begun > 12 * SLOW.step_s * 0.9


async def test_the_work_of_a_client_that_leaves_ends() -> None:
    async with serving() as http:
        await http.get("/take_time")
        body = {"messages": PROMPT, "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if line:
                    break
        async with asyncio.timeout(30):
            await chat(http, messages=PROMPT, **GRADE)
        counted = await counts(http)
    assert counted["request_success"] == 1
    assert counted["generation_tokens"] < 12 + 1


async def test_an_unknown_question_is_refused() -> None:
    async with serving() as http:
        body = {"messages": [{"role": "user", "content": "Who?"}]}
        response = await http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert "no question" in response.json()["error"]["message"]
