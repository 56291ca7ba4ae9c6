"""Our client against a real vLLM: what its protocol promises, and what our calls cost there."""

import uuid
from pathlib import Path

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import var_child_runnable_config

from backends.language_model import LanguageModel
from backends.reader import Passage, Statement
from errors import PromptTooLong
from nodes.fitting import estimated_tokens
from nodes.reading import LanguageModelReader
from settings import LanguageModelSettings
from tests.fakes import spoken
from tests.vllm.metrics import computed, counter, eventually, passages, requests_for

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

SECRET = b"of this installation"
BLOCK = 32
"""Tokens of a cached block, as the server was started."""
QUESTION = [("user", "Is the sky blue?")]


async def test_the_served_model_and_its_context_are_discovered(
    language_model: LanguageModel,
) -> None:
    served = await language_model.served()
    assert (served.id, served.max_tokens) == ("tiny", 4096)
    assert language_model.name == "tiny"
    assert await language_model.prompt_tokens() == 4096 - 64


async def test_how_full_the_cache_is_can_be_told(language_model: LanguageModel) -> None:
    usage = await language_model.cache_usage()
    assert usage is not None
    assert 0 <= usage <= 1


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
        pieces = await spoken(language_model.stream(QUESTION))
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
    try:
        # A busy machine may come to leave an answer only when it has been written to its end.
        for _ in range(25):
            if await leave_at_once(model, vllm_url):
                return
    finally:
        await model.aclose()
    raise AssertionError("every answer was written to its end")


async def leave_at_once(model: LanguageModel, vllm_url: str) -> bool:
    """Whether an answer that was left after its first piece never came to an end of its own."""
    # Whatever comes to an end of its own is counted, whatever is left while it runs is not.
    ended = await counter(vllm_url, "request_success_total")
    begun = await counter(vllm_url, "prompt_tokens_total")
    stream = model.stream(QUESTION)
    assert await anext(stream)
    await stream.aclose()  # at once: asking for the metrics first takes as long as the answer
    await eventually(lambda running: running == 0, vllm_url, "num_requests_running")
    assert await counter(vllm_url, "prompt_tokens_total") > begun
    return await counter(vllm_url, "request_success_total") == ended


async def test_a_prompt_beyond_the_context_is_told_apart(language_model: LanguageModel) -> None:
    with pytest.raises(PromptTooLong, match="too long"):
        await language_model.choose([[("user", "word " * 9000)]], ("yes", "no"))


async def test_grading_is_one_request_with_one_token_a_passage(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model)
    batch, single = "/v1/chat/completions/batch", "/v1/chat/completions"
    asked = await requests_for(vllm_url, batch), await requests_for(vllm_url, single)
    tokens = await counter(vllm_url, "generation_tokens_total")
    grades = await reader.grade(f"What is {uuid.uuid4()}?", passages(4))
    assert [grade is not None and 0 <= grade <= 1 for grade in grades] == [True] * 4
    assert await counter(vllm_url, "generation_tokens_total") - tokens == 4
    assert await requests_for(vllm_url, batch) - asked[0] == 1
    assert await requests_for(vllm_url, single) - asked[1] == 0
    assert reader.unreadable == 0


async def test_single_requests_give_the_grades_that_one_request_gives(
    language_model: LanguageModel,
) -> None:
    prompts = [[("user", f"Is {number} even?")] for number in range(3)]
    together = await language_model.choose(prompts, ("yes", "no"))
    alone = [(await language_model.choose([prompt], ("yes", "no")))[0] for prompt in prompts]
    for one, other in zip(together, alone, strict=True):
        assert one is not None
        assert other is not None
        assert one == pytest.approx(other, abs=0.02)


async def test_the_shared_beginning_is_computed_once_for_all_grades(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model)
    before = await computed(vllm_url), await counter(vllm_url, "prompt_tokens_total")
    await reader.grade(f"What is {uuid.uuid4()}?", passages(6))
    new = await computed(vllm_url) - before[0]
    prompt = (await counter(vllm_url, "prompt_tokens_total") - before[1]) / 6
    assert new < prompt + 5 * (BLOCK + 8), "besides one prompt, each adds a block and a few tokens"


async def test_grading_and_answering_compute_hardly_more_than_answering_alone(
    language_model: LanguageModel, vllm_url: str
) -> None:
    await answer(LanguageModelReader(language_model, secret=SECRET), passages(2))
    graded = bare = 0.0
    for number in range(8):  # where a block ends in a prompt is chance
        words = 140 + 3 * number
        reader = LanguageModelReader(language_model, secret=SECRET)
        found = passages(4, words)
        before = await computed(vllm_url)
        question = await grade(reader, found)
        await answer(reader, [found[2], found[0], found[3], found[1]], question)
        graded += await computed(vllm_url) - before
        before = await computed(vllm_url)
        await answer(LanguageModelReader(language_model, secret=SECRET), passages(4, words))
        bare += await computed(vllm_url) - before
    print(f"prompt tokens computed: {graded:.0f} graded and answered, {bare:.0f} answered")  # noqa: T201
    assert graded / bare <= 1.1


async def test_a_claim_is_checked_behind_its_answers_cached_prompt(
    language_model: LanguageModel, vllm_url: str
) -> None:
    reader = LanguageModelReader(language_model)
    found = passages(4)
    question = await grade(reader, found)
    await answer(reader, found, question)
    before = await computed(vllm_url)
    statements = [
        Statement("Grading costs a token.", [1, 2]),
        Statement("Answers cost more than a token.", [3]),
    ]
    supports = await reader.verify(question, found, statements)
    assert None not in supports
    assert await computed(vllm_url) - before < 300


async def test_tokens_are_the_models_own(language_model: LanguageModel) -> None:
    short, long = await language_model.count_tokens(["grade", "grade " * 50]) or [0, 0]
    assert 0 < short < long < estimated_tokens("grade " * 50) * 2
    assert await language_model.count_tokens(["grade " * 50]) == [long]


async def test_the_server_tells_what_its_model_is(
    language_model: LanguageModel, tiny_model: Path
) -> None:
    await language_model.choose([QUESTION], ("yes", "no"))
    assert language_model.model is not None
    assert language_model.model.root == str(tiny_model)


async def grade(reader: LanguageModelReader, found: list[Passage]) -> str:
    question = f"What is {uuid.uuid4()}?"
    await reader.grade(question, found)
    return question


async def answer(reader: LanguageModelReader, found: list[Passage], question: str = "") -> str:
    pieces = reader.answer(question or f"What is {uuid.uuid4()}?", found)
    return "".join(await spoken(pieces))


async def test_a_whole_cycle_of_the_reader_runs(language_model: LanguageModel) -> None:
    reader = LanguageModelReader(language_model)
    found = passages(4)
    grades = await reader.grade("What is fact one?", found)
    rewriting = await reader.rewrite("What is fact one?", ["fact one"], found)
    answer = "".join(await spoken(reader.answer("What is fact one?", found)))
    assert len(grades) == 4
    assert isinstance(rewriting.queries, list)
    assert answer.strip()
    assert reader.name == "tiny"


async def test_more_passages_than_the_context_holds_are_answered_from_the_first(
    language_model: LanguageModel,
) -> None:
    reader = LanguageModelReader(language_model)
    many = passages(12, words=400)
    grades = await reader.grade("What is fact one?", many)
    assert [grade is not None and 0 <= grade <= 1 for grade in grades] == [True] * 12
    assert "".join(await spoken(reader.answer("What is fact one?", many)))


async def test_the_stock_client_grades_like_ours_and_answers(
    language_model: LanguageModel, vllm_url: str
) -> None:
    settings = LanguageModelSettings(
        provider="openai", base_urls=[f"{vllm_url}/v1"], max_answer_tokens=64
    )
    stock = LanguageModel(settings)
    ours = LanguageModelReader(language_model, secret=SECRET)
    theirs = LanguageModelReader(stock, secret=SECRET)
    found = passages(4)
    expected, tokens = await ours.grade("Why?", found), await stock.prompt_tokens()
    before = await counter(vllm_url, "generation_tokens_total")
    grades = await theirs.grade("Why?", found)
    assert await counter(vllm_url, "generation_tokens_total") - before == 4
    assert [grade is not None for grade in grades] == [True] * 4
    assert grades == pytest.approx(expected, abs=0.02)
    assert await answer(theirs, found)
    assert (theirs.name, tokens) == ("tiny", 4096 - 64)
    stream = stock.stream(QUESTION)
    assert await anext(stream)
    await stream.aclose()
    await eventually(lambda running: running == 0, vllm_url, "num_requests_running")
    await stock.aclose()
