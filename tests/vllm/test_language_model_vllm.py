"""Our client against a real vLLM: what its protocol promises, and what our calls cost there."""

import asyncio
import re
import uuid
from collections.abc import Callable

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import var_child_runnable_config

from backends.language_model import LanguageModel
from backends.reader import Passage
from errors import PromptTooLong
from nodes.reading import LanguageModelReader
from settings import LanguageModelSettings

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

QUESTION = [("user", "Is the sky blue?")]


def passages(count: int, words: int = 60) -> list[Passage]:
    """Passages of different text."""
    return [
        Passage(
            id=str(uuid.uuid4()),
            text=" ".join(f"fact{number}x{word}" for word in range(words)),
            source=f"docs/{number}.md",
            title=f"Title {number}",
            heading="",
            page=None,
            start_line=1,
            end_line=2,
            score=1.0,
            relevance=None,
        )
        for number in range(count)
    ]


async def counter(url: str, name: str) -> float:
    """The sum of one of vLLM's metrics over its labels."""
    async with httpx.AsyncClient(timeout=10) as client:
        text = (await client.get(f"{url}/metrics")).text
    values = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", text, flags=re.MULTILINE)
    assert values, f"vLLM has no metric {name}"
    return sum(float(value) for value in values)


async def eventually(condition: Callable[[float], bool], url: str, name: str) -> None:
    """Wait, at most ten seconds, until the metric fulfils the condition."""
    async with asyncio.timeout(10):
        while not condition(await counter(url, name)):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


async def test_the_served_model_and_its_context_are_discovered(
    language_model: LanguageModel,
) -> None:
    served = await language_model.served()
    assert (served.id, served.max_tokens) == ("tiny", 4096)
    assert language_model.name == "tiny"
    assert await language_model.prompt_tokens() == 4096 - 64


async def test_a_choice_costs_one_generated_token(
    language_model: LanguageModel, vllm_url: str
) -> None:
    before = await counter(vllm_url, "generation_tokens_total")
    (probabilities,) = await language_model.choose([QUESTION], ("yes", "no"))
    assert await counter(vllm_url, "generation_tokens_total") - before == 1
    assert probabilities is not None
    assert set(probabilities) == {"yes", "no"}
    assert sum(probabilities.values()) == pytest.approx(1)


class Replies(AsyncCallbackHandler):
    """Keeps what the model's callbacks hear at the end."""

    def __init__(self) -> None:
        self.replies: list[LLMResult] = []

    async def on_llm_end(self, response: LLMResult, **_: object) -> None:
        self.replies.append(response)


async def test_a_streamed_answer_ends_with_usage_and_a_reason(
    language_model: LanguageModel,
) -> None:
    heard = Replies()
    token = var_child_runnable_config.set({"callbacks": [heard]})
    try:
        pieces = [piece async for piece in language_model.stream(QUESTION)]
    finally:
        var_child_runnable_config.reset(token)
    assert len(pieces) > 1
    (generation,) = heard.replies[0].generations[0]
    assert isinstance(generation, ChatGeneration)
    message = generation.message
    assert message.text == "".join(pieces)
    assert message.response_metadata["finish_reason"] in {"stop", "length"}
    assert isinstance(message, AIMessage)
    assert message.usage_metadata is not None
    assert 1 < message.usage_metadata["output_tokens"] <= 64


async def test_leaving_a_stream_early_ends_the_work_at_the_server(vllm_url: str) -> None:
    settings = LanguageModelSettings(base_urls=[f"{vllm_url}/v1"], max_answer_tokens=2000)
    model = LanguageModel(settings)
    before = await counter(vllm_url, "generation_tokens_total")
    stream = model.stream(QUESTION)
    assert await anext(stream)
    await eventually(lambda running: running == 1, vllm_url, "num_requests_running")
    await stream.aclose()
    await eventually(lambda running: running == 0, vllm_url, "num_requests_running")
    assert await counter(vllm_url, "generation_tokens_total") - before < 1900
    await model.aclose()


async def test_a_prompt_beyond_the_context_is_told_apart(language_model: LanguageModel) -> None:
    with pytest.raises(PromptTooLong, match="too long"):
        await language_model.choose([[("user", "word " * 9000)]], ("yes", "no"))


async def test_grading_generates_one_token_a_passage_and_shares_the_prefix(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model)
    question = f"What is {uuid.uuid4()}?"
    tokens = await counter(vllm_url, "generation_tokens_total")
    hits = await counter(vllm_url, "prefix_cache_hits_total")
    grades = await reader.grade(question, passages(4))
    assert [grade is not None and 0 <= grade <= 1 for grade in grades] == [True] * 4
    assert await counter(vllm_url, "generation_tokens_total") - tokens == 4
    assert await counter(vllm_url, "prefix_cache_hits_total") - hits > 0


async def test_a_whole_cycle_of_the_reader_runs(language_model: LanguageModel) -> None:
    reader = LanguageModelReader(language_model)
    found = passages(4)
    grades = await reader.grade("What is fact one?", found)
    query = await reader.rewrite("What is fact one?", ["fact one"], found)
    answer = "".join([piece async for piece in reader.answer("What is fact one?", found)])
    assert len(grades) == 4
    assert query is None or query.casefold() != "fact one"
    assert answer.strip()
    assert reader.name == "tiny"


async def test_more_passages_than_the_context_holds_are_answered_from_the_first(
    language_model: LanguageModel,
) -> None:
    reader = LanguageModelReader(language_model)
    many = passages(12, words=400)
    grades = await reader.grade("What is fact one?", many)
    assert [grade is not None and 0 <= grade <= 1 for grade in grades] == [True] * 12
    assert "".join([piece async for piece in reader.answer("What is fact one?", many)])
