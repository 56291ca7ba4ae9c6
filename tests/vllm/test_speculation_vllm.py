"""An answer that is begun beside the grading, as a real vLLM sees it."""

import asyncio
import uuid
from collections.abc import AsyncIterator

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
    """A client whose answers go on for so long that they do not end by themselves in time.

    What a server does for the first time takes it so long that an answer would end meanwhile.
    """
    urls = [f"{vllm_url}/v1"]
    settings = LanguageModelSettings(base_urls=urls, max_answer_tokens=ANSWER_TOKENS)
    model = LanguageModel(settings)
    await LanguageModelReader(model).grade("What is it?", passages(4))
    async for _ in LanguageModelReader(model).answer("What is it?", passages(1)):
        pass
    yield model
    await model.aclose()


class Counted:
    """What the server did since this was made: vLLM counts no abort, but it counts what ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._before: dict[str, float] = {}

    async def begin(self) -> "Counted":
        names = ("request_success_total", "generation_tokens_total")
        self._before = {name: await counter(self._url, name) for name in names}
        return self

    async def is_idle(self) -> None:
        """Wait until it works on nothing."""
        await eventually(lambda running: running == 0, self._url, "num_requests_running")
        assert await counter(self._url, "num_requests_waiting") == 0

    async def of(self, name: str) -> float:
        return await counter(self._url, name) - self._before[name]


async def test_a_confirmed_answer_is_a_single_request_beside_the_grading(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model, speculate_from=ALWAYS)
    found, question = passages(4), f"What is {uuid.uuid4()}?"
    asked = await requests_for(vllm_url, BATCH), await requests_for(vllm_url, CHAT)
    counted = await Counted(vllm_url).begin()
    await reader.grade(question, found)
    answer = "".join(await spoken(reader.answer(question, found)))
    assert answer.strip()
    assert await requests_for(vllm_url, BATCH) - asked[0] == 1
    assert await requests_for(vllm_url, CHAT) - asked[1] == 1
    assert 4 < await counted.of("generation_tokens_total") <= 4 + 64
    assert await counted.of("request_success_total") == 4 + 1


async def test_an_answer_that_is_not_confirmed_is_aborted_at_once(
    talkative: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(talkative, speculate_from=NEVER)
    counted = await Counted(vllm_url).begin()
    grades = await reader.grade(f"What is {uuid.uuid4()}?", passages(4))
    assert all(grade is not None for grade in grades)
    await counted.is_idle()
    assert await counted.of("request_success_total") == 4, "the grades ended and no answer did"
    wasted = await counted.of("generation_tokens_total") - 4
    print(f"tokens of the answer generated in vain: {wasted:.0f}")  # noqa: T201
    assert wasted < ANSWER_TOKENS / 2


async def test_leaving_a_confirmed_answer_aborts_it(
    talkative: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(talkative, speculate_from=ALWAYS)
    found, question = passages(4), f"What is {uuid.uuid4()}?"
    counted = await Counted(vllm_url).begin()
    await reader.grade(question, found)
    answer = reader.answer(question, found)
    assert await anext(answer)
    await answer.aclose()
    await counted.is_idle()
    assert await counted.of("request_success_total") == 4


async def test_a_confirmed_answer_that_nobody_takes_over_is_aborted(
    talkative: LanguageModel, vllm_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation, "HELD_S", 0.0)
    reader = LanguageModelReader(talkative, speculate_from=ALWAYS)
    counted = await Counted(vllm_url).begin()
    await reader.grade(f"What is {uuid.uuid4()}?", passages(4))
    await asyncio.sleep(0)
    await counted.is_idle()
    assert await counted.of("request_success_total") == 4


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
