"""An answer that is begun beside the grading, as a real vLLM sees it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from backends.language_model import LanguageModel
from nodes import speculation
from nodes.reading import LanguageModelReader
from settings import LanguageModelSettings
from tests.fakes import spoken
from tests.vllm.metrics import computed, counter, eventually, passages, requests_for

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

CHAT, BATCH = "/v1/chat/completions", "/v1/chat/completions/batch"
ALWAYS, NEVER = 0.0, 1.1
"""Grades from which a passage is kept: the tiny model's own mean nothing."""
ANSWER_TOKENS = 2000


@pytest.fixture
async def talkative(vllm_url: str) -> AsyncIterator[LanguageModel]:
    """A client whose answers go on for so long that they seldom end by themselves in time."""
    urls = [f"{vllm_url}/v1"]
    settings = LanguageModelSettings(base_urls=urls, max_answer_tokens=ANSWER_TOKENS)
    model = LanguageModel(settings)
    yield model
    await model.aclose()


async def aborted(url: str, work: Callable[[], Awaitable[object]]) -> float:
    """How many tokens the server generated for four grades and an answer that was aborted.

    vLLM counts no abort, but it counts what ends. The tiny model may have written a whole answer
    before a busy machine has its grades delivered, so the work is done up to 25 times.
    """
    for _ in range(25):
        ended = await counter(url, "request_success_total")
        tokens = await counter(url, "generation_tokens_total")
        await work()
        await eventually(lambda running: running == 0, url, "num_requests_running")
        assert await counter(url, "num_requests_waiting") == 0
        if await counter(url, "request_success_total") - ended == 4:
            return await counter(url, "generation_tokens_total") - tokens
    raise AssertionError("every answer was written to its end")


async def test_a_confirmed_answer_is_a_single_request_beside_the_grading(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model, speculate_from=ALWAYS)
    found, question = passages(4), f"What is {uuid.uuid4()}?"
    asked = await requests_for(vllm_url, BATCH), await requests_for(vllm_url, CHAT)
    ended = await counter(vllm_url, "request_success_total")
    tokens = await counter(vllm_url, "generation_tokens_total")
    await reader.grade(question, found)
    assert "".join(await spoken(reader.answer(question, found))).strip()
    assert await requests_for(vllm_url, BATCH) - asked[0] == 1
    assert await requests_for(vllm_url, CHAT) - asked[1] == 1
    assert 4 < await counter(vllm_url, "generation_tokens_total") - tokens <= 4 + 64
    assert await counter(vllm_url, "request_success_total") - ended == 4 + 1


async def test_an_answer_that_is_not_confirmed_is_aborted_at_once(
    talkative: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(talkative, speculate_from=NEVER)
    tokens = await aborted(vllm_url, lambda: reader.grade(f"What is {uuid.uuid4()}?", passages(4)))
    print(f"tokens of the answer generated in vain: {tokens - 4:.0f}")  # noqa: T201
    assert tokens < ANSWER_TOKENS


async def test_leaving_a_confirmed_answer_aborts_it(
    talkative: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(talkative, speculate_from=ALWAYS)

    async def begin_and_leave() -> None:
        found, question = passages(4), f"What is {uuid.uuid4()}?"
        await reader.grade(question, found)
        answer = reader.answer(question, found)
        assert await anext(answer)
        await answer.aclose()

    assert await aborted(vllm_url, begin_and_leave) < ANSWER_TOKENS


async def test_a_confirmed_answer_that_nobody_takes_over_is_aborted(
    talkative: LanguageModel, vllm_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation, "HELD_S", 0.0)
    reader = LanguageModelReader(talkative, speculate_from=ALWAYS)

    async def grade_and_forget() -> None:
        await reader.grade(f"What is {uuid.uuid4()}?", passages(4))
        await asyncio.sleep(0)

    assert await aborted(vllm_url, grade_and_forget) < ANSWER_TOKENS


async def test_the_prompt_is_computed_once_for_the_grades_and_the_answer_beside_them(
    language_model: LanguageModel, vllm_url: str
) -> None:
    measured: dict[float | None, float] = {None: 0.0, ALWAYS: 0.0}
    for number in range(8):  # where a block ends in a prompt is chance
        for speculate_from in measured:
            reader = LanguageModelReader(language_model, speculate_from=speculate_from)
            found, question = passages(4, 140 + 3 * number), f"What is {uuid.uuid4()}?"
            before = await computed(vllm_url)
            await reader.grade(question, found)
            async for _ in reader.answer(question, found):
                pass
            measured[speculate_from] += await computed(vllm_url) - before
    print(f"prompt tokens computed: {measured}")  # noqa: T201
    assert measured[ALWAYS] <= 1.1 * measured[None]
