"""The language model as a reader, on scripted replies."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import pytest

from backends.chat.answer_text import AnswerText
from backends.chat.server import Prompt
from backends.reader import Passage, Rewriting, Statement
from errors import LanguageModelUnavailable, PromptTooLong
from nodes.citations import cite
from nodes.prompts import NOT_FOUND
from nodes.reading import LanguageModelReader
from tests.fakes import passage, spoken


def passages(count: int) -> list[Passage]:
    return [
        passage(f"fact {number} " * 20, source=f"{number}.md") for number in range(1, count + 1)
    ]


class ScriptedModel:
    """A model that gives fixed replies and refuses prompts with too many documents."""

    name = "scripted"

    def __init__(
        self,
        reply: str = "",
        grades: Sequence[dict[str, float] | Exception | None] = (),
        holds: int = 100,
        limit: int | None = None,
        counts: bool = False,
    ) -> None:
        self.reply = reply
        self.grades = list(grades)
        self.holds = holds
        self.limit = limit
        self.counts = counts
        self.prompts: list[str] = []
        self.requests: list[int] = []
        """How many prompts each request for choices had."""
        self.silent_on = ""

    async def prompt_tokens(self) -> int | None:
        return self.limit

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        return [len(text.split()) for text in texts] if self.counts else None

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        self.requests.append(len(prompts))
        for prompt in prompts:
            self._take(prompt)
        replies = [self.grades.pop(0) for _ in prompts]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return [reply for reply in replies if not isinstance(reply, Exception)]

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        self._take(prompt)
        return self.reply

    async def stream(
        self, prompt: Prompt, *, silent_on: str = "", numbers: Mapping[int, int] | None = None
    ) -> AsyncGenerator[str]:
        self._take(prompt)
        self.silent_on = silent_on
        text = AnswerText(silent_on, numbers)
        for word in self.reply.split():
            yield text.feed(word)
        if rest := text.finish():
            yield rest

    def _take(self, prompt: Prompt) -> None:
        content = prompt[-1][1]
        self.prompts.append(content)
        if shown(content) > self.holds:
            raise PromptTooLong("too long")


def shown(prompt: str) -> int:
    """How many documents a prompt shows."""
    return prompt.count("</document ")


def beginning(prompt: str) -> str:
    """All of a prompt but its task."""
    return prompt[: prompt.index("Task:")]


def yes(probability: float) -> dict[str, float]:
    return {"yes": probability, "no": 1 - probability}


async def answered(reader: LanguageModelReader, found: Sequence[Passage]) -> str:
    return "".join(await spoken(reader.answer("Why?", found)))


async def test_all_passages_are_asked_about_in_one_request_after_all_of_them() -> None:
    model = ScriptedModel(grades=[yes(0.9), None, yes(0.1)])
    reader = LanguageModelReader(model)
    assert await reader.grade("Why?", passages(3)) == [0.9, None, 0.1]
    assert model.requests == [3]
    assert [shown(prompt) for prompt in model.prompts] == [3, 3, 3]
    assert [model.prompts[n - 1].endswith(f"Document number {n}") for n in (1, 2, 3)] == [True] * 3


async def test_unreadable_replies_are_counted() -> None:
    reader = LanguageModelReader(ScriptedModel(grades=[yes(0.9), None, None]))
    await reader.grade("Why?", passages(3))
    assert reader.unreadable == 2


async def test_pointwise_grading_shows_one_passage_a_prompt() -> None:
    model = ScriptedModel(grades=[yes(0.9), yes(0.2)])
    assert await LanguageModelReader(model, "pointwise").grade("Why?", passages(2)) == [0.9, 0.2]
    assert model.requests == [2]
    assert [shown(prompt) for prompt in model.prompts] == [1, 1]
    assert "fact 2" in model.prompts[1]


async def test_grading_switched_off_asks_nothing() -> None:
    model = ScriptedModel()
    reader = LanguageModelReader(model, "off")
    assert await reader.grade("Why?", passages(2)) == [None, None]
    assert (model.prompts, reader.unreadable) == ([], 0)


async def test_passages_beyond_the_context_are_graded_alone() -> None:
    model = ScriptedModel(grades=[yes(0.5)] * 9, limit=900)
    assert await LanguageModelReader(model).grade("Why?", passages(9)) == [0.5] * 9
    documents = [shown(prompt) for prompt in model.prompts]
    assert documents[0] > 1
    assert documents[-1] == 1
    assert len(documents) == 9
    assert len(model.requests) == 2


async def test_a_model_that_counts_tokens_is_shown_more_than_the_estimate_would_let_in() -> None:
    estimated = ScriptedModel(grades=[yes(0.5)] * 9, limit=900)
    counted = ScriptedModel(grades=[yes(0.5)] * 9, limit=900, counts=True)
    for model in (estimated, counted):
        await LanguageModelReader(model).grade("Why?", passages(9))
    assert counted.requests[0] > estimated.requests[0]


async def test_a_prompt_that_proves_too_long_is_asked_passage_by_passage() -> None:
    model = ScriptedModel(grades=[yes(0.5)] * 3, holds=1)
    assert await LanguageModelReader(model).grade("Why?", passages(3)) == [0.5] * 3


async def test_a_passage_too_long_even_alone_is_unknown_and_the_others_are_graded() -> None:
    model = ScriptedModel(holds=0)
    reader = LanguageModelReader(model)
    assert await reader.grade("Why?", passages(2)) == [None, None]
    assert reader.unreadable == 0


async def test_a_server_that_is_gone_is_told_to_the_caller() -> None:
    model = ScriptedModel(grades=[yes(1), LanguageModelUnavailable("gone"), yes(1)])
    with pytest.raises(LanguageModelUnavailable, match="gone"):
        await LanguageModelReader(model).grade("Why?", passages(3))


@pytest.mark.parametrize(
    ("reply", "queries", "missing"),
    [
        ("MISSING: the date\nSEARCH: release date", ["release date"], "the date"),
        ("MISSING: two\nSEARCH: a b\nSEARCH: c d", ["a b", "c d"], "two"),
        ("release date", ["release date"], ""),
        ("MISSING: the date", [], "the date"),
        ("I am sorry,\nI cannot.", [], ""),
        ("", [], ""),
    ],
)
async def test_a_rewriting_has_the_models_queries_and_what_it_misses(
    reply: str, queries: list[str], missing: str
) -> None:
    reader = LanguageModelReader(ScriptedModel(reply=reply))
    assert await reader.rewrite("Why?", ["Why?"], passages(1)) == Rewriting(queries, missing)


async def test_a_rewrite_sees_what_was_tried_and_found() -> None:
    model = ScriptedModel(reply="MISSING: a\nSEARCH: new query")
    await LanguageModelReader(model).rewrite("Why?", ["old query"], passages(2))
    assert "- old query" in model.prompts[0]
    assert "fact 2" in model.prompts[0]


async def test_a_rewrite_after_grading_begins_as_the_grading_did() -> None:
    model = ScriptedModel(reply="SEARCH: new query", grades=[yes(0.1)] * 6)
    reader = LanguageModelReader(model)
    await reader.grade("Why?", passages(6))
    await reader.rewrite("Why?", ["Why?"], passages(6))
    assert model.prompts[-1].startswith(beginning(model.prompts[0]))


async def test_an_answer_comes_in_pieces_and_is_silent_on_not_found() -> None:
    model = ScriptedModel(reply="Blue [1].")
    reader = LanguageModelReader(model)
    assert await spoken(reader.answer("Why?", passages(2))) == ["Blue", "[1]."]
    assert model.silent_on == NOT_FOUND


async def test_without_passages_the_model_is_not_asked() -> None:
    model = ScriptedModel(reply="Made up.")
    assert [piece async for piece in LanguageModelReader(model).answer("Why?", [])] == []
    assert model.prompts == []


async def test_an_answer_begins_as_its_grading_did_and_cites_the_callers_order() -> None:
    model = ScriptedModel(
        reply="First [4]. Second [2] third [1,3] invented [9].",
        grades=[yes(0.6), yes(0.7), yes(0.1), yes(0.9)],
    )
    reader = LanguageModelReader(model)
    found = passages(4)
    await reader.grade("Why?", found)
    kept = [found[3], found[1], found[0]]
    answer = await answered(reader, kept)
    assert model.prompts[-1].startswith(beginning(model.prompts[0]))
    assert "Use only documents 1, 2 and 4;" in model.prompts[-1]
    assert answer == "First[1].Second[2]third[3, 0]invented[0]."
    _, citations = cite(answer, kept)
    assert [c["source"] for c in citations] == ["4.md", "2.md", "1.md"]


async def test_an_answer_from_few_of_the_graded_passages_is_shown_them_alone() -> None:
    model = ScriptedModel(reply="Blue [1].", grades=[yes(0.5)] * 6)
    reader = LanguageModelReader(model)
    found = passages(6)
    await reader.grade("Why?", found)
    assert await answered(reader, [found[4], found[1]]) == "Blue[1]."
    assert shown(model.prompts[-1]) == 2
    assert model.prompts[-1].index("fact 5") < model.prompts[-1].index("fact 2")


async def test_an_answer_is_tried_again_with_fewer_passages_when_too_long() -> None:
    model = ScriptedModel(reply="Blue", holds=2)
    assert await answered(LanguageModelReader(model), passages(8)) == "Blue"
    assert [shown(prompt) for prompt in model.prompts] == [8, 4, 2]


async def test_a_graded_prompt_that_has_become_too_long_is_left_for_the_best_passages() -> None:
    model = ScriptedModel(reply="Blue [1].", grades=[yes(0.5)] * 4)
    reader = LanguageModelReader(model)
    found = passages(4)
    await reader.grade("Why?", found)
    model.holds = 2  # the server has another model now
    assert await answered(reader, [found[2], found[0], found[1]]) == "Blue[1]."
    assert shown(model.prompts[-1]) == 1
    assert "fact 3" in model.prompts[-1]


async def test_one_passage_that_is_too_long_is_an_error() -> None:
    model = ScriptedModel(holds=0)
    with pytest.raises(PromptTooLong):
        await anext(LanguageModelReader(model).answer("Why?", passages(1)))


async def test_a_claim_is_checked_behind_the_prompt_of_its_answer() -> None:
    model = ScriptedModel(
        reply="Blue [4].", grades=[yes(0.6), yes(0.1), yes(0.9), yes(0.7), yes(0.8)]
    )
    reader = LanguageModelReader(model)
    found = passages(4)
    await reader.grade("Why?", found)
    kept = [found[2], found[3]]
    await answered(reader, kept)
    assert await reader.verify("Why?", kept, [Statement("Blue.", [2])]) == [0.8]
    assert model.prompts[-1].startswith(beginning(model.prompts[-2]))
    assert "Blue." in model.prompts[-1]
    assert "document 4." in model.prompts[-1]


async def test_a_claim_about_a_passage_that_is_not_there_is_unknown() -> None:
    model = ScriptedModel(grades=[yes(0.9)])
    reader = LanguageModelReader(model)
    assert await reader.verify("Why?", passages(2), [Statement("Blue.", [3])]) == [None]
    assert model.prompts == []


async def test_claims_are_checked_together_each_in_its_place() -> None:
    model = ScriptedModel(grades=[yes(0.9), yes(0.2)])
    reader = LanguageModelReader(model)
    statements = [Statement("Blue.", [1]), Statement("Red.", [7]), Statement("Green.", [2])]
    assert await reader.verify("Why?", passages(2), statements) == [0.9, None, 0.2]
    assert model.requests == [2]


async def test_a_claim_too_long_to_check_is_unknown() -> None:
    model = ScriptedModel(grades=[yes(0.9)], holds=0)
    reader = LanguageModelReader(model)
    assert await reader.verify("Why?", passages(1), [Statement("Blue.", [1])]) == [None]
