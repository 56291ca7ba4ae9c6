"""The Ollama chat client against a server that speaks Ollama's protocol, well and badly."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backends.chat.server import ServerBusy
from backends.language_model import LanguageModel
from errors import LanguageModelUnavailable
from settings import LanguageModelSettings
from tests.fakes import spoken, thought
from tests.language_model_server import HANG, Reply, ScriptedServer, lines, scripted

CHAT = "/api/chat"
ASK = [("user", "Why?")]
CHOICES = ("yes", "no")


def ollama(*chat: Reply, context: int = 40_960, capabilities: Sequence[str] = ()) -> Any:
    """A server with one pulled model."""
    shown = {
        "model_info": {"llama.context_length": context},
        "capabilities": ["completion", *capabilities],
    }
    return scripted(
        *chat,
        path=CHAT,
        api_tags=[Reply([json.dumps({"models": [{"model": "llama3:8b"}]}).encode()])],
        api_show=[Reply([json.dumps(shown).encode()])],
    )


def said(text: str, **more: Any) -> dict[str, Any]:
    """One line of Ollama's stream, or its whole reply."""
    return {"model": "llama3:8b", "message": {"role": "assistant", "content": text}, **more}


END: dict[str, Any] = said("", done=True, done_reason="stop")


@asynccontextmanager
async def client(server: ScriptedServer, **changes: Any) -> AsyncIterator[LanguageModel]:
    values: dict[str, Any] = {"timeout_s": 0.4, "connect_timeout_s": 0.4, **changes}
    settings = LanguageModelSettings(
        provider="ollama", base_urls=[server.url], max_answer_tokens=100, **values
    )
    model = LanguageModel(settings)
    try:
        yield model
    finally:
        await model.aclose()


async def test_an_answer_streams_with_a_context_window_of_our_own() -> None:
    script = ollama(lines(said("Blue"), said(" sky"), END))
    async with script as server, client(server) as model:
        assert await spoken(model.stream(ASK)) == ["Blue", " sky"]
        assert model.name == "llama3:8b"
        assert await model.prompt_tokens() == 8192 - 100
    (request,) = server.asked(CHAT)
    assert request["options"] == {"temperature": 0.0, "num_ctx": 8192, "num_predict": 100}


async def test_thinking_that_a_template_opens_is_known_by_the_first_answer() -> None:
    script = ollama(lines(said("Hm"), said(".</think>"), said("Blue"), END))
    async with script as server, client(server) as model:
        assert "".join(await spoken(model.stream(ASK))) == "Hm.Blue"
        assert "".join(await spoken(model.stream(ASK))) == "Blue"


async def test_a_model_that_can_think_is_asked_to_when_it_answers_and_others_are_not() -> None:
    thinking = said("", message={"role": "assistant", "content": "", "thinking": "Hm."})
    answer = lines(thinking, said("Blue"), END)
    whole = Reply([json.dumps(said("Blue", done=True, done_reason="stop")).encode()])
    script = ollama(answer, answer, whole, capabilities=["thinking"])
    async with script as server, client(server) as model:
        assert await spoken(model.stream(ASK)) == ["Blue"]
        assert await thought(model.stream(ASK)) == "Hm."
        await model.complete(ASK, 10)
    assert [request["think"] for request in server.asked(CHAT)] == [True, True, False]
    async with ollama(lines(said("Blue"), END)) as server, client(server) as model:
        await spoken(model.stream(ASK))
    assert not server.asked(CHAT)[0].get("think")


async def test_a_choice_is_constrained_and_read_from_the_text() -> None:
    whole = Reply([json.dumps(said('"yes"', done=True, done_reason="stop")).encode()])
    async with ollama(whole) as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [{"yes": 1.0, "no": 0.0}]
    (request,) = server.asked(CHAT)
    assert request["format"] == {"type": "string", "enum": ["yes", "no"]}
    assert request["think"] is False
    assert request["stream"] is False


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (Reply([b'{"error": "model not found"}'], status=404), LanguageModelUnavailable, "pull"),
        (Reply([b'{"error": "busy"}'], status=503), ServerBusy, "Try again"),
        (Reply([b'{"error": "no"}'], status=401), LanguageModelUnavailable, "API_KEY"),
        (Reply([b'{"error": "no"}'], status=400), LanguageModelUnavailable, "refused"),
        (Reply([b"<html>"]), LanguageModelUnavailable, "does not answer like Ollama"),
        (Reply([HANG]), LanguageModelUnavailable, "in time"),
    ],
)
async def test_an_error_says_what_to_do(reply: Reply, kind: type[Exception], says: str) -> None:
    async with ollama(reply) as server, client(server) as model:
        with pytest.raises(kind, match=says):
            await model.complete(ASK, 10)
        with pytest.raises(kind, match=says):
            await anext(model.stream(ASK))


@pytest.mark.parametrize(
    "reply",
    [
        lines(said("Half an ")),
        Reply([json.dumps(said("Half an ")).encode() + b"\n"], cut=True),
        lines(said("Half an "), {"error": "out of memory"}),
    ],
)
async def test_a_stream_that_breaks_off_is_an_error_after_what_came(reply: Reply) -> None:
    async with ollama(reply) as server, client(server) as model:
        answer = model.stream(ASK)
        assert await anext(answer) == "Half an "
        with pytest.raises(LanguageModelUnavailable):
            await anext(answer)


async def test_without_any_model_the_pull_command_is_named() -> None:
    script = scripted(path=CHAT, api_tags=[Reply([b'{"models": []}'])])
    async with script as server, client(server) as model:
        with pytest.raises(LanguageModelUnavailable, match="ollama pull"):
            await model.served()


async def test_an_unreachable_ollama_names_the_setting() -> None:
    settings = LanguageModelSettings(provider="ollama", base_urls=["http://127.0.0.1:9"])
    model = LanguageModel(settings)
    with pytest.raises(LanguageModelUnavailable, match="TANDEM_LLM__BASE_URLS"):
        await model.complete(ASK, 10)
    await model.aclose()
