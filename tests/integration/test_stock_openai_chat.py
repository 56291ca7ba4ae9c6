"""The provider ``openai``, LangChain's own client, against a server that replies well and badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr
from typing_extensions import TypedDict

from backends.chat.server import ServerBusy, Unreachable
from backends.chat.stock_openai import THINKING_TOKENS
from backends.language_model import LanguageModel
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings
from tests.fakes import spoken
from tests.language_model_server import (
    DONE,
    HANG,
    Reply,
    ScriptedServer,
    completion,
    deltas,
    error,
    scripted,
    stream,
)
from tests.pace import paced

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
ASK = [("system", "Be brief."), ("user", "Why?")]
TWO = [[("user", "First?")], [("user", "Second?")]]
CHOICES = ("yes", "no")
YES, NO = {"yes": 1.0, "no": 0.0}, {"yes": 0.0, "no": 1.0}
KEY = "sk-very-secret"


@asynccontextmanager
async def client(*servers: ScriptedServer | str, **changes: Any) -> AsyncIterator[LanguageModel]:
    urls = [s if isinstance(s, str) else f"{s.url}/v1" for s in servers]
    values: dict[str, Any] = {"timeout_s": 0.4, "connect_timeout_s": 0.4, **changes}
    model = LanguageModel(
        LanguageModelSettings(provider="openai", base_urls=urls, max_answer_tokens=100, **values)
    )
    try:
        yield model
    finally:
        await model.aclose()


async def streamed(*replies: Reply, **reading: Any) -> list[str]:
    async with scripted(*replies) as server, client(server) as model:
        return await spoken(model.stream(ASK, **reading))


async def test_each_choice_is_a_request_whose_first_token_tells_how_probable_it_is() -> None:
    script = scripted(
        completion("yes", {"yes": -0.1, "no": -2.4}), completion("n", {"y": -3.0, "n": -0.1})
    )
    async with script as server, client(server) as model:
        found = await model.choose(TWO, CHOICES)
    assert [round(each["yes"], 2) for each in found if each] == [0.91, 0.05]
    asked = server.asked(CHAT)
    assert [[m["content"] for m in each["messages"]] for each in asked] == [["First?"], ["Second?"]]
    assert asked[0]["structured_outputs"] == {"choice": ["yes", "no"]}
    assert asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert (asked[0]["max_completion_tokens"], asked[0]["temperature"]) == (1, 0.0)
    assert asked[0]["logprobs"]
    assert not asked[0].get("stream")


async def test_many_choices_are_asked_for_at_the_same_time() -> None:
    waiting = Reply([HANG], resumed=completion("no"))
    async with (
        scripted(completion("yes"), waiting) as server,
        client(server, timeout_s=10) as model,
    ):
        choosing = asyncio.create_task(model.choose([ASK] * 6, CHOICES))
        async with asyncio.timeout(30):
            while len(server.asked(CHAT)) < 6:  # noqa: ASYNC110 - the fake sets no event
                await asyncio.sleep(0.01)
        server.released.set()
        assert await choosing == [YES, *[NO] * 5]


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_fields_that_a_server_refuses_are_left_out_and_that_is_remembered(
    status: int,
) -> None:
    script = scripted(
        error(status, "Unknown parameter: structured_outputs"),
        error(status, "You may not ask for logprobs"),
        completion("**Yes**"),
        completion("no"),
    )
    async with script as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [YES]
        assert await model.choose(TWO, CHOICES) == [NO, NO]
        assert await model.complete(ASK, 10) == "no"
    asked = server.asked(CHAT)
    assert ["structured_outputs" in each for each in asked] == [True, *[False] * 5]
    assert ["logprobs" in each for each in asked] == [True, True, *[False] * 4]
    assert "chat_template_kwargs" not in asked[-1]


async def test_a_reasoning_model_gets_room_to_think_and_no_temperature() -> None:
    refusal = error(400, "Unsupported value: 'temperature' does not support 0.0")
    script = scripted(*[refusal] * 3, completion("yes"), stream("Blue"))
    async with script as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [YES]
        assert await spoken(model.stream(ASK)) == ["Blue"]
    *_, choice, answer = server.asked(CHAT)
    assert "temperature" not in choice | answer
    assert choice["max_completion_tokens"] > THINKING_TOKENS
    assert answer["max_completion_tokens"] == 100 + THINKING_TOKENS
    assert answer["reasoning_effort"] == "low"


async def test_a_server_that_knows_only_the_old_name_of_the_limit_answers() -> None:
    script = scripted(*[error(422, "max_completion_tokens: extra field")] * 4, stream("Blue"))
    async with script as server, client(server) as model:
        assert await spoken(model.stream(ASK)) == ["Blue"]
    body = server.asked(CHAT)[-1]
    assert body["max_tokens"] == 100
    assert not {"max_completion_tokens", "stream_options"} & set(body)


async def test_models_of_openais_o_series_are_told_by_their_developer() -> None:
    async with scripted(completion("Blue"), models=["o3"]) as server, client(server) as model:
        await model.complete(ASK, 10)
    assert server.asked(CHAT)[0]["messages"][0]["role"] == "developer"


async def test_headers_of_openais_own_environment_reach_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        body = b'{"data": [{"id": "tiny"}]}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        writer.close()

    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: tandem")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-here")
    async with await asyncio.start_server(take, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with client(f"http://127.0.0.1:{port}/v1") as model:
            await model.served()
    assert b"x-gateway: tandem" in seen[0].lower()
    assert b"sk-not-for-here" not in seen[0]


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (error(400, "This model's maximum context length is 8 tokens"), PromptTooLong, "too long"),
        (error(400, "unknown field"), LanguageModelUnavailable, "refused"),
        (error(401, f"Incorrect API key provided: {KEY}"), LanguageModelUnavailable, "API_KEY"),
        (error(404, "The model `tiny` does not exist."), LanguageModelUnavailable, "LLM__MODEL"),
        (error(429, "slow down"), ServerBusy, "429"),
        (error(500, f"boom {KEY}"), ServerBusy, "server's log"),
        (Reply([b"<html>"], kind="text/html"), LanguageModelUnavailable, "/v1"),
        (Reply([b"{}"]), LanguageModelUnavailable, "/v1"),
        (Reply([b'{"choices": []}']), LanguageModelUnavailable, "/v1"),
        (Reply([b'{"choices": ['], cut=True), LanguageModelUnavailable, "BASE_URLS|middle"),
        (Reply([HANG]), LanguageModelUnavailable, "in time"),
    ],
)
async def test_an_error_says_what_to_do_and_never_the_key(
    reply: Reply, kind: type[Exception], says: str
) -> None:
    async with scripted(reply) as server, client(server, api_key=SecretStr(KEY)) as model:
        with pytest.raises(kind, match=says) as caught:
            await model.choose([ASK], CHOICES)
        with pytest.raises(kind, match=says) as streaming:
            await anext(model.stream(ASK))
    assert KEY not in str(caught.value) + str(streaming.value)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (stream("Half an ", reason=None, end=()), "middle"),
        (stream("Half an ", reason=None), "middle"),
        (stream("Half an ", reason="abort"), "middle"),
        (stream("Half an ", reason=None, end=[b'data: {"error": {"message": "x"}}\n\n']), "middle"),
        (stream("Half an ", reason=None, end=[HANG]), "in time"),
        (stream("Half an ", reason=None, end=[b"data: {not json\n\n"]), "/v1"),
    ],
)
async def test_a_stream_that_breaks_off_gives_what_came_and_then_an_error(
    reply: Reply, says: str
) -> None:
    async with scripted(reply) as server, client(server) as model:
        answer = model.stream(ASK)
        assert await anext(answer) == "Half an "
        with pytest.raises(LanguageModelUnavailable, match=says):
            await anext(answer)
        assert len(server.asked(CHAT)) == 1, "no second request after the first token"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (stream(), "empty"),
        (stream("<think>", "round and round", reason="length"), "MAX_ANSWER_TOKENS"),
        (deltas({"reasoning_content": "round"}, reason="length"), "MAX_ANSWER_TOKENS"),
        (stream(*[" \n"] * 2000, reason=None), "white space"),
        (Reply([DONE], kind="text/event-stream"), "/v1"),
        (Reply([HANG], kind="text/event-stream"), "in time"),
    ],
)
async def test_a_stream_without_an_answer_is_an_error(reply: Reply, says: str) -> None:
    with pytest.raises(LanguageModelUnavailable, match=says):
        await streamed(reply)


async def test_only_readable_text_with_the_callers_numbers_is_streamed() -> None:
    reply = stream("<thi", "nk>secret</th", "ink>\n\n", "Blue [", "4", "], [9].")
    assert "".join(await streamed(reply, numbers={4: 1})) == "Blue [1], [0]."
    assert await streamed(stream("NOTHING", " here"), silent_on="NOTHING") == []


async def test_thinking_that_a_template_opens_is_known_by_the_first_answer() -> None:
    async with scripted(stream("Hm", ".</think>", "Blue")) as server, client(server) as model:
        assert "".join(await spoken(model.stream(ASK))) == "Hm.Blue"
        assert "".join(await spoken(model.stream(ASK))) == "Blue"


class State(TypedDict):
    answer: str


async def test_a_graphs_message_stream_hears_the_answer_and_no_grade() -> None:
    script = scripted(completion("yes"), stream("<think>hm</think>", "Blue", " sky"))
    async with script as server, client(server) as model:

        async def answer(_: State) -> State:
            await model.choose([ASK], CHOICES)
            return {"answer": "".join(await spoken(model.stream(ASK)))}

        node: Any = answer
        graph = StateGraph(State)
        graph.add_node("answer", node)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        heard = [
            message.text
            async for message, _ in graph.compile().astream({"answer": ""}, stream_mode="messages")
            if isinstance(message, AIMessageChunk) and message.text
        ]
    assert heard == ["Blue", " sky"]


async def test_the_first_listed_model_is_used_and_a_configured_one_wins() -> None:
    script = scripted(completion("Blue"), models=["first", "second"], max_model_len=1000)
    async with script as server:
        async with client(server) as model:
            assert await model.complete(ASK, 10) == "Blue"
            assert (model.name, await model.prompt_tokens()) == ("first", 900)
        async with client(server, model="second") as model:
            await model.complete(ASK, 10)
    assert [each["model"] for each in server.asked(CHAT)] == ["first", "second"]


async def test_another_model_is_found_when_the_server_has_been_restarted_with_it() -> None:
    gone = error(404, "The model `tiny` does not exist.")
    script = scripted(completion("Blue"), gone, completion("Red"))
    async with script as server, client(server) as model:
        assert await model.complete(ASK, 10) == "Blue"
        server.replies[MODELS][0] = Reply([b'{"data": [{"id": "new"}]}'])
        assert await model.complete(ASK, 10) == "Red"
        assert model.name == "new"


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_a_gateway_without_a_list_of_models_needs_a_configured_one(status: int) -> None:
    script = scripted(completion("Blue"), v1_models=[error(status, "no such route")])
    async with script as server:
        async with client(server, model="mine") as model:
            assert await model.complete(ASK, 10) == "Blue"
        async with client(server) as model:
            with pytest.raises(LanguageModelUnavailable):
                await model.complete(ASK, 10)
    assert [each["model"] for each in server.asked(CHAT)] == ["mine"]


@pytest.mark.parametrize(
    "listed", [Reply([b'{"data": []}']), Reply([b"<html>"], kind="text/html"), Reply([b"{}"])]
)
async def test_without_any_model_the_message_names_a_setting(listed: Reply) -> None:
    async with scripted(v1_models=[listed]) as server, client(server) as model:
        with pytest.raises(LanguageModelUnavailable, match="TANDEM_LLM__"):
            await model.served()


async def test_an_unreachable_server_names_the_setting() -> None:
    async with client("http://127.0.0.1:9/v1") as model:
        with pytest.raises(Unreachable, match="TANDEM_LLM__BASE_URLS"):
            await model.complete(ASK, 10)


async def test_another_server_answers_when_the_first_falls_asleep() -> None:
    async with (
        scripted(Reply([HANG])) as sleeping,
        scripted(completion("yes"), models=["other"]) as other,
        client(sleeping, other, timeout_s=30) as model,
    ):
        await model.served()
        asyncio.get_running_loop().call_later(0.1, sleeping.close)
        async with paced() as pace:
            assert await model.choose([ASK], CHOICES) == [YES]
        assert pace.seconds < 5
        assert model.name == "other"
