"""Several servers, sleeping servers, exchanged models: who is asked, and how long that takes."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from backends.chat import members as members_module
from backends.chat.breaker import FAILURES
from backends.language_model import LanguageModel
from errors import LanguageModelUnavailable, PromptTooLong
from settings import LanguageModelSettings
from tests.language_model_server import (
    HANG,
    Reply,
    ScriptedServer,
    completion,
    error,
    scripted,
    stream,
)
from tests.pace import paced

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
ASK = [("user", "Why?")]
CHOICES = ("yes", "no")
YES = {"yes": 1.0, "no": 0.0}
REFUSING = "http://127.0.0.1:9/v1"
DEGRADED_WITHIN_S = 2.0
"""What a person waits before extracts answer instead."""


@asynccontextmanager
async def client(*servers: ScriptedServer | str, **changes: Any) -> AsyncIterator[LanguageModel]:
    urls = [s if isinstance(s, str) else f"{s.url}/v1" for s in servers]
    model = LanguageModel(LanguageModelSettings(base_urls=urls, **changes))
    try:
        yield model
    finally:
        await model.aclose()


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes no connection and refuses none, as a sleeping machine does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):  # fill its queue: the next ones get no answer
            waiting.append(filler := socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for filler in waiting:
                filler.close()


async def seconds_until_unavailable(model: LanguageModel) -> float:
    async with paced() as pace:
        with pytest.raises(LanguageModelUnavailable):
            await model.choose([ASK], CHOICES)
    return pace.seconds


async def test_servers_that_take_no_connection_are_given_up_together_in_time() -> None:
    with black_hole() as first, black_hole() as second, black_hole() as third:
        async with client(first, second, third) as model:
            begun = time.monotonic()
            assert await seconds_until_unavailable(model) < DEGRADED_WITHIN_S
            assert time.monotonic() - begun > 0.5, "a connection has its time"


async def test_servers_that_take_a_connection_and_say_nothing_are_given_up_in_time() -> None:
    silent = Reply([HANG])
    async with (
        scripted(v1_models=[silent]) as first,
        scripted(v1_models=[silent]) as second,
        client(first, second) as model,
    ):
        assert await seconds_until_unavailable(model) < DEGRADED_WITHIN_S


async def test_a_server_that_is_left_alone_costs_no_time() -> None:
    with black_hole() as hole:
        async with client(hole, connect_timeout_s=0.1) as model:
            for _ in range(FAILURES):
                await seconds_until_unavailable(model)
            assert min([await seconds_until_unavailable(model) for _ in range(3)]) < 0.05
            with pytest.raises(LanguageModelUnavailable, match="asked again in"):
                await model.choose([ASK], CHOICES)


async def test_a_server_that_comes_back_is_used_again() -> None:
    async with scripted(completion("yes")) as server, client(server) as model:
        good = server.replies[MODELS][0]
        server.replies[MODELS][0] = error(503, "loading")
        for _ in range(FAILURES):
            await seconds_until_unavailable(model)
        server.replies[MODELS][0] = good
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await model.choose([ASK], CHOICES) == [YES]
                    break
                except LanguageModelUnavailable:
                    await asyncio.sleep(0.1)
        asked = len(server.asked(MODELS))
    assert asked <= FAILURES + 3, "it was left alone meanwhile"


async def test_a_machine_that_falls_asleep_in_the_middle_is_noticed_in_time() -> None:
    async with (
        scripted(Reply([HANG])) as sleeping,
        scripted(completion("yes"), models=["other"]) as other,
        client(sleeping, other) as model,
    ):
        await model.served()
        asyncio.get_running_loop().call_later(0.1, sleeping.close)
        async with paced() as pace:
            assert await model.choose([ASK], CHOICES) == [YES]
        assert pace.seconds < DEGRADED_WITHIN_S
        assert model.name == "other"


async def test_a_stream_from_a_machine_that_falls_asleep_ends_in_time() -> None:
    reply = stream("Half an ", reason=None, end=[HANG])
    async with scripted(reply) as server, client(server) as model:
        answer = model.stream(ASK)
        assert await anext(answer) == "Half an "
        server.close()
        async with paced() as pace:
            with pytest.raises(LanguageModelUnavailable, match="reached"):
                await anext(answer)
        assert pace.seconds < DEGRADED_WITHIN_S


async def test_a_server_that_thinks_for_long_and_is_there_is_waited_for() -> None:
    async with (
        scripted(Reply([HANG], resumed=completion("yes"))) as server,
        client(server) as model,
    ):
        asyncio.get_running_loop().call_later(2.0, server.released.set)
        assert await model.choose([ASK], CHOICES) == [YES]
    assert len(server.asked(MODELS)) >= 2, "it was asked meanwhile whether it is there"


async def test_nobody_is_asked_while_nothing_is_to_do() -> None:
    async with scripted(completion("yes")) as server, client(server) as model:
        await model.choose([ASK], CHOICES)
        before = len(server.requests)
        await asyncio.sleep(1.2)
        assert len(server.requests) == before


async def test_questions_at_the_same_time_check_a_server_once() -> None:
    async with scripted(completion("yes")) as server, client(server) as model:
        await asyncio.gather(*(model.choose([ASK], CHOICES) for _ in range(20)))
    assert len(server.asked(MODELS)) == 1


async def test_a_server_that_is_up_does_not_wait_for_one_that_is_not() -> None:
    with black_hole() as hole:
        async with scripted(completion("yes")) as server, client(server, hole) as model:
            async with paced() as pace:
                assert await model.choose([ASK], CHOICES) == [YES]
            assert pace.seconds < 0.9, "less than a connection may take"


async def test_in_order_the_second_server_is_left_in_peace() -> None:
    async with (
        scripted(completion("yes")) as first,
        scripted(completion("yes")) as second,
        client(first, second) as model,
    ):
        for number in range(8):
            await model.choose([[("user", f"Question {number}?")]], CHOICES)
    assert (len(first.asked(CHAT)), len(second.asked(CHAT))) == (8, 0)


async def test_questions_are_spread_and_each_stays_with_its_server() -> None:
    async with (
        scripted(completion("yes")) as first,
        scripted(completion("yes")) as second,
        client(first, second, balance="spread") as model,
    ):
        for number in range(40):
            for task in ("grade", "answer"):
                documents = f"document {number} " * 100
                await model.choose([[("user", f"{documents} {task}")]], CHOICES)
    texts = [
        {r["messages"][0]["content"].rsplit(" ", 1)[0] for r in server.asked(CHAT)}
        for server in (first, second)
    ]
    assert not texts[0] & texts[1]
    assert min(len(texts[0]), len(texts[1])) >= 8


async def test_when_spread_the_other_server_takes_over_what_one_cannot() -> None:
    async with (
        scripted(completion("yes")) as server,
        client(REFUSING, server, balance="spread") as model,
    ):
        for number in range(8):
            assert await model.choose([[("user", f"{number}?")]], CHOICES) == [YES]


async def test_another_server_never_continues_an_answer() -> None:
    async with (
        scripted(stream("Half an ", reason=None, end=())) as first,
        scripted(stream("Other")) as second,
        client(first, second) as model,
    ):
        answer = model.stream(ASK)
        assert await anext(answer) == "Half an "
        with pytest.raises(LanguageModelUnavailable):
            await anext(answer)
    assert second.asked(CHAT) == []


def listing(**model: Any) -> Reply:
    return Reply([json.dumps({"data": [model]}).encode()])


async def test_what_a_server_tells_of_its_model_is_kept() -> None:
    async with scripted(completion("yes")) as server, client(server) as model:
        server.replies[MODELS][0] = listing(id="llm", root="org/model-8B", max_model_len=8192)
        await model.choose([ASK], CHOICES)
        assert model.model is not None
        assert (model.model.id, model.model.root) == ("llm", "org/model-8B")
        assert model.model.max_tokens == 8192


async def test_another_model_under_the_same_name_is_noticed_by_its_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members_module, "FRESH_S", 0.0)
    async with scripted(completion("yes")) as server, client(server) as model:
        server.replies[MODELS][0] = listing(id="llm", root="8B", max_model_len=8192)
        assert await model.prompt_tokens() == 8192 - 768
        server.replies[MODELS][0] = listing(id="llm", root="70B", max_model_len=4096)
        assert await model.prompt_tokens() == 4096 - 768


async def test_a_prompt_that_is_too_long_makes_the_context_be_learnt_anew() -> None:
    refusal = error(400, "This model's maximum context length is 4096 tokens")
    async with scripted(refusal, completion("yes")) as server, client(server) as model:
        server.replies[MODELS][0] = listing(id="llm", max_model_len=8192)
        assert await model.prompt_tokens() == 8192 - 768
        server.replies[MODELS][0] = listing(id="llm", max_model_len=4096)
        with pytest.raises(PromptTooLong):
            await model.choose([ASK], CHOICES)
        assert await model.prompt_tokens() == 4096 - 768


async def test_a_server_that_restarts_with_another_model_needs_no_setting() -> None:
    async with scripted(completion("yes"), models=["8B"]) as server, client(server) as model:
        await model.choose([ASK], CHOICES)
        assert model.name == "8B"
        server.replies[MODELS][0] = listing(id="70B")
        server.replies[CHAT].appendleft(error(404, "The model `8B` does not exist."))
        await model.choose([ASK], CHOICES)
        assert model.name == "70B"


async def test_one_broken_connection_is_mended_by_asking_again() -> None:
    broken = Reply([b'{"choices": ['], cut=True)
    async with scripted(broken, completion("yes")) as server, client(server) as model:
        assert await model.choose([ASK], CHOICES) == [YES]
    assert len(server.asked(CHAT)) == 2
