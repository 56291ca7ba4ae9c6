"""Bad replies of a language-model server, each with the outcome that is promised for it."""

import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr
from typing_extensions import TypedDict

from backends.chat.connection import Connection
from backends.chat.server import ServerBusy
from backends.language_model import LanguageModel
from backends.reader import Thought
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings
from tests.fakes import spoken, thought
from tests.language_model_server import (
    DONE,
    HANG,
    Reply,
    ScriptedServer,
    batch,
    completion,
    deltas,
    error,
    scripted,
    stream,
)
from tests.pace import paced

CHAT = "/v1/chat/completions"
BATCH = "/v1/chat/completions/batch"
ASK = [("user", "Why?")]
CHOICES = ("yes", "no")
KEY = "sk-very-secret"


@asynccontextmanager
async def client(*servers: ScriptedServer | str, **changes: Any) -> AsyncIterator[LanguageModel]:
    urls = [s if isinstance(s, str) else f"{s.url}/v1" for s in servers]
    values: dict[str, Any] = {"timeout_s": 1.5, "connect_timeout_s": 5.0, **changes}
    model = LanguageModel(LanguageModelSettings(base_urls=urls, **values))
    try:
        yield model
    finally:
        await model.aclose()


async def chosen(*replies: Reply) -> dict[str, float] | None:
    async with scripted(*replies) as server, client(server) as model:
        (choice,) = await model.choose([ASK], CHOICES)
        return choice


async def streamed(*replies: Reply, silent_on: str = "") -> list[str]:
    async with scripted(*replies) as server, client(server) as model:
        return await spoken(model.stream(ASK, silent_on=silent_on))


async def thoughts(*replies: Reply) -> str:
    async with scripted(*replies) as server, client(server) as model:
        return await thought(model.stream(ASK))


async def test_a_choice_is_asked_for_as_one_constrained_token_without_thinking() -> None:
    async with scripted(completion("yes", {"yes": -0.1})) as server, client(server) as model:
        await model.choose([ASK], CHOICES)
    (request,) = server.asked(CHAT)
    assert request["max_completion_tokens"] == 1
    assert request["structured_outputs"] == {"choice": ["yes", "no"]}
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert request["logprobs"]
    assert not request.get("stream")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", None),
        ("   \n\n\t  ", None),
        ("maybe", None),
        ("yes or no", None),
        ('```json\n{"relevant": "yes"}\n```', 1.0),
        ('```json\n{"relevant": "no', 0.0),
        ('{"relevant": "ye', None),
        ("<think>no, hm, no</think>yes", 1.0),
        ("<think>yes", None),
        ("ye", 1.0),
        ("No.", 0.0),
    ],
)
async def test_a_reply_without_probabilities_is_read_or_unknown(
    text: str, outcome: float | None
) -> None:
    probabilities = await chosen(completion(text))
    assert (probabilities and probabilities["yes"]) == outcome


async def test_a_choice_spelt_in_pieces_counts_all_its_beginnings() -> None:
    probabilities = await chosen(completion("y", {"y": -1.0, " Yes": -1.0, "no": -1.0, "x": -0.5}))
    assert probabilities == pytest.approx({"yes": 2 / 3, "no": 1 / 3})


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (error(400, "This model's maximum context length is 8 tokens"), PromptTooLong, "too long"),
        (error(400, "unknown field"), LanguageModelUnavailable, "refused"),
        (error(401, f"Incorrect API key provided: {KEY}"), LanguageModelUnavailable, "API_KEY"),
        (error(404, "The model `tiny` does not exist."), LanguageModelUnavailable, "LLM__MODEL"),
        (error(429, "slow down"), ServerBusy, "429"),
        (error(500, f"boom {KEY}"), ServerBusy, "server's log"),
        (error(503, "loading"), ServerBusy, "503"),
        (Reply([b"<html>"], kind="text/html"), LanguageModelUnavailable, "/v1"),
        (Reply([b"{}"]), LanguageModelUnavailable, "/v1"),
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


TWO = [[("user", "First?")], [("user", "Second?")]]
YES, NO = {"yes": 1.0, "no": 0.0}, {"yes": 0.0, "no": 1.0}


def batching(*replies: Reply, single: Reply | None = None) -> Any:
    """A server with an endpoint for several conversations."""
    return scripted(single or completion("yes"), v1_chat_completions_batch=replies)


async def test_choices_for_several_prompts_take_one_request() -> None:
    reply = batch("yes", "no", logprobs=[{"yes": -0.1, "no": -2.4}, {"y": -3.0, "n": -0.1}])
    async with batching(reply) as server, client(server) as model:
        found = await model.choose(TWO, CHOICES)
        await model.choose(TWO, CHOICES)
    assert [round(each["yes"], 2) for each in found if each] == [0.91, 0.05]
    request, _ = server.asked(BATCH)
    assert [[m["content"] for m in messages] for messages in request["messages"]] == [
        ["First?"],
        ["Second?"],
    ]
    assert request["max_completion_tokens"] == 1
    assert server.asked(CHAT) == []


async def test_a_choice_that_is_missing_from_a_batch_is_unknown() -> None:
    async with batching(batch(None, "no")) as server, client(server) as model:
        assert await model.choose(TWO, CHOICES) == [None, NO]


@pytest.mark.parametrize(
    "refusal",
    [
        error(404, "Not Found"),
        error(405, "Method Not Allowed"),
        error(400, "messages: value is not a dict"),
        error(422, "messages: value is not a dict"),
        error(501, "The model does not support Chat Completions API"),
        Reply([b'{"status": "ok"}']),
    ],
)
async def test_without_a_batch_endpoint_single_requests_choose_and_that_is_remembered(
    refusal: Reply,
) -> None:
    async with batching(refusal) as server, client(server) as model:
        assert await model.choose(TWO, CHOICES) == [YES, YES]
        assert await model.choose(TWO, CHOICES) == [YES, YES]
    assert len(server.asked(BATCH)) == 1
    assert len(server.asked(CHAT)) == 4


async def test_a_batch_endpoint_is_looked_for_again_with_another_model() -> None:
    script = batching(error(404, "Not Found"), batch("yes", "no"))
    async with script as server, client(server) as model:
        await model.choose(TWO, CHOICES)
        server.replies[CHAT].appendleft(error(404, "The model `tiny` does not exist."))
        server.replies["/v1/models"][0] = Reply([b'{"data": [{"id": "new"}]}'])
        assert await model.choose(TWO, CHOICES) == [YES, NO]
    assert [request["model"] for request in server.asked(BATCH)] == ["tiny", "new"]


async def test_a_batch_that_is_too_long_is_told_apart() -> None:
    refusal = error(400, "This model's maximum context length is 8 tokens")
    async with batching(refusal) as server, client(server) as model:
        with pytest.raises(PromptTooLong):
            await model.choose(TWO, CHOICES)
    assert server.asked(CHAT) == []


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_fields_is_asked_without_them_and_that_is_remembered(
    status: int,
) -> None:
    refusal = error(status, "Unrecognized request argument supplied: structured_outputs")
    logprobs = error(status, "logprobs are not supported")
    script = scripted(refusal, logprobs, completion("**Yes**"), completion("no"))
    async with script as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [YES]
        assert await model.choose([ASK], CHOICES) == [NO]
    asked = server.asked(CHAT)
    assert ["structured_outputs" in request for request in asked] == [True, False, False, False]
    assert ["logprobs" in request for request in asked] == [True, True, False, False]


async def test_a_refused_connection_names_the_setting() -> None:
    async with client("http://127.0.0.1:9/v1") as model:
        with pytest.raises(LanguageModelUnavailable, match="TANDEM_LLM__BASE_URLS"):
            await model.choose([ASK], CHOICES)


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
        (stream("  ", "\n\n", "\t"), "empty"),
        (stream("<think>", "round and round", reason="length"), "MAX_ANSWER_TOKENS"),
        (deltas({"reasoning": "round and round"}, reason="length"), "MAX_ANSWER_TOKENS"),
        (deltas({"reasoning_content": "round"}, reason="length"), "MAX_ANSWER_TOKENS"),
        (stream(*[" \n"] * 2000, reason=None), "white space"),
        (Reply([DONE], kind="text/event-stream"), "/v1"),
        (Reply([HANG], kind="text/event-stream"), "in time"),
    ],
)
async def test_a_stream_without_an_answer_is_an_error(reply: Reply, says: str) -> None:
    with pytest.raises(LanguageModelUnavailable, match=says):
        await streamed(reply)


async def test_a_doubled_end_of_stream_changes_nothing() -> None:
    assert await streamed(stream("A", "B", end=[DONE, DONE])) == ["AB"]


async def test_answers_follow_each_other_on_one_connection() -> None:
    async with scripted(stream("A", "B")) as server, client(server) as model:
        for _ in range(4):
            assert await spoken(model.stream(ASK)) == ["AB"]
    assert server.connections == 2  # the list of models has one of its own


async def test_an_answer_ends_at_once_where_its_body_does_not() -> None:
    async with paced() as pace:
        assert await streamed(stream("A", "B", end=[DONE, HANG])) == ["AB"]
    assert pace.seconds < 2


async def test_thinking_is_left_out_of_a_streamed_answer() -> None:
    reply = stream("<thi", "nk>secret</th", "ink>\n\n", "Blue", " sky")
    assert await streamed(reply) == ["Blue sky"]
    assert await thoughts(reply) == "secret"


async def test_endless_white_space_ends_an_answer_that_had_begun() -> None:
    async with scripted(stream("Blue", *["\n"] * 2000)) as server, client(server) as model:
        answer = model.stream(ASK)
        assert str(await anext(answer)).rstrip() == "Blue"
        with pytest.raises(LanguageModelUnavailable, match="white space"):
            [piece async for piece in answer]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_thinking_that_a_server_sends_apart_is_no_part_of_the_answer(field: str) -> None:
    reply = deltas({field: "Hm."}, {field: " So.", "content": None}, {"content": "Blue"})
    assert await streamed(reply) == ["Blue"]
    assert await thoughts(reply) == "Hm. So."


async def test_a_thought_is_there_before_the_answer_is() -> None:
    (thinking, *_) = deltas({"reasoning_content": "Hm."}).body
    reply = Reply([thinking, HANG], kind="text/event-stream")
    async with scripted(reply) as server, client(server) as model:
        answer = model.stream(ASK)
        assert await anext(answer) == Thought("Hm.")
        await answer.aclose()


def templated(*strings: str, chat: Reply) -> Any:
    """A server that shows what its chat template makes of a question."""
    shown = Reply([json.dumps({"token_strs": strings, "tokens": [1], "count": 1}).encode()])
    return scripted(chat, tokenize=[shown])


async def test_thinking_that_a_chat_template_opens_is_left_out_of_the_answer() -> None:
    script = templated("<|user|>", "?", "<think>", "\n", chat=stream("Hm", ".</think>", "Blue"))
    async with script as server, client(server) as model:
        for _ in range(2):
            assert await spoken(model.stream(ASK)) == ["Blue"]
        assert await thought(model.stream(ASK)) == "Hm."
    assert len(server.asked("/tokenize")) == 1


@pytest.mark.parametrize("status", [403, 404, 502])
async def test_a_gateway_that_hides_the_template_changes_nothing(status: int) -> None:
    script = scripted(stream("Blue"), tokenize=[error(status, "Bad Gateway")])
    async with script as server, client(server) as model:
        for _ in range(2):
            assert await spoken(model.stream(ASK)) == ["Blue"]
        assert await model.count_tokens(["a"]) is None
    assert len(server.asked("/tokenize")) == 2


async def test_an_answer_is_not_held_back_where_a_template_opens_nothing() -> None:
    begun = stream("Blue", reason=None, end=[HANG])
    script = templated("<|user|>", "?", "<|assistant|>", chat=begun)
    async with script as server, client(server) as model:
        answer = model.stream(ASK)
        assert await anext(answer) == "Blue"
        await answer.aclose()


async def test_a_server_that_shows_no_template_is_known_by_its_first_answer() -> None:
    async with scripted(stream("Hm", ".</think>", "Blue")) as server, client(server) as model:
        assert "".join(await spoken(model.stream(ASK))) == "Hm.Blue"
        assert "".join(await spoken(model.stream(ASK))) == "Blue"


async def test_invented_citations_point_at_nothing_and_the_others_where_the_caller_says() -> None:
    async with scripted(stream("Blue [", "4", "], [9].")) as server, client(server) as model:
        pieces = await spoken(model.stream(ASK, numbers={4: 1}))
    assert "".join(pieces) == "Blue [1], [0]."


async def test_line_ends_that_only_python_knows_do_not_break_a_stream() -> None:
    text = "a\u2028b\u0085c"
    whole = json.dumps(
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]},
        ensure_ascii=False,
    )
    body = [b"data: " + whole.encode()[:20], whole.encode()[20:] + b"\r\n\r\n", DONE]
    assert await streamed(Reply(body, kind="text/event-stream")) == [text]


async def test_tokens_are_counted_where_the_server_can_and_else_not() -> None:
    counted = Reply([b'{"count": 3, "tokens": [1, 2, 3]}'])
    async with scripted(tokenize=[counted]) as server, client(server) as model:
        assert await model.count_tokens(["a", "b"]) == [3, 3]
    async with scripted() as server, client(server) as model:
        assert await model.count_tokens(["a"]) is None
        assert await model.count_tokens(["a"]) is None
    assert len(server.asked("/tokenize")) == 1


async def test_a_changed_model_is_discovered_again() -> None:
    missing = error(404, "The model `old` does not exist.")
    script = scripted(missing, completion("yes"), models=["old"])
    async with script as server, client(server) as model:
        await model.served()
        server.replies["/v1/models"][0] = Reply([b'{"data": [{"id": "new"}]}'])
        assert await model.choose([ASK], CHOICES) == [{"yes": 1.0, "no": 0.0}]
        assert model.name == "new"
    assert [request["model"] for request in server.asked(CHAT)] == ["old", "new"]


async def test_a_busy_server_is_asked_once_more() -> None:
    script = scripted(error(503, "loading"), completion("no"))
    async with script as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [{"yes": 0.0, "no": 1.0}]
    assert len(server.asked(CHAT)) == 2


@pytest.mark.parametrize("call", ["choose", "stream"])
async def test_the_next_server_answers_where_the_first_cannot(call: str) -> None:
    good = completion("yes") if call == "choose" else stream("yes")
    async with (
        scripted(error(500, "boom")) as bad,
        scripted(good, models=["other"]) as other,
        client("http://127.0.0.1:9/v1", bad, other) as model,
    ):
        if call == "choose":
            assert await model.choose([ASK], CHOICES) == [{"yes": 1.0, "no": 0.0}]
        else:
            assert await spoken(model.stream(ASK)) == ["yes"]
        assert model.name == "other"


async def test_a_context_shorter_than_two_answers_is_shared_between_prompt_and_answer() -> None:
    async with scripted(stream("yes"), max_model_len=1000) as server, client(server) as model:
        assert await model.prompt_tokens() == 500
        assert await spoken(model.stream(ASK)) == ["yes"]
    assert server.asked(CHAT)[0]["max_completion_tokens"] == 500


class State(TypedDict):
    text: str


async def heard(node: Any) -> list[str]:
    """What LangGraph's "messages" stream tells of a node."""
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    texts = []
    async for message, _ in builder.compile().astream({"text": ""}, stream_mode="messages"):
        assert isinstance(message, AIMessageChunk)
        texts.append(message.text)
    return [text for text in texts if text]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Blue", " sky [1]."], ["Blue sky [1]."]),
        (["<think>hm</think>", "Blue"], ["Blue"]),
        (["NOT", "_FO", "UND", ". Sorry."], []),
        (["NOT", " blue"], ["NOT blue"]),
    ],
)
async def test_a_graphs_messages_are_what_the_reader_gives(
    pieces: list[str], expected: list[str]
) -> None:
    async with scripted(stream(*pieces)) as server, client(server) as model:

        async def node(_: State) -> State:
            given = await spoken(model.stream(ASK, silent_on="NOT_FOUND"))
            assert given == expected
            return {"text": "".join(given)}

        assert await heard(node) == expected


async def test_grades_and_rewrites_are_not_heard_in_a_graphs_messages() -> None:
    async with scripted(completion("yes", {"yes": -0.1})) as server, client(server) as model:

        async def node(_: State) -> State:
            await model.choose([ASK], CHOICES)
            return {"text": await model.complete(ASK, 10)}

        assert await heard(node) == []
        assert ["stream" in request for request in server.asked(CHAT)] == [False, False]


async def test_a_stream_that_is_left_is_closed_before_anything_else_runs() -> None:
    """vLLM writes on until its socket closes, and what follows may keep the event loop busy."""
    left = threading.Event()
    event = stream("Blue").body[1]

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(event), event)
            )
            with suppress(ConnectionError):
                while connection.recv(1 << 16):
                    pass
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        connection = Connection(LanguageModelSettings(base_urls=[url]), url)
        events = connection.events("/chat/completions", {})
        [first] = await anext(events)
        assert first["choices"][0]["delta"] == {"content": "Blue"}
        await events.aclose()
        # On purpose not awaited: the event loop does nothing more.
        assert left.wait(5)
        await connection.aclose()
        serving.join(5)
