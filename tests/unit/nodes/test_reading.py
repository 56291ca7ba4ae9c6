"""The language model as a reader, on scripted replies."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from backends.chat.server import Message
from backends.reader import Passage
from errors import LanguageModelUnavailable, PromptTooLong
from nodes.prompts import NOT_FOUND
from nodes.reading import MAX_QUERY_CHARS, LanguageModelReader, read_query


def passages(count: int) -> list[Passage]:
    return [
        Passage(
            id=str(number),
            text=f"fact {number} " * 20,
            source=f"{number}.md",
            also_in=[],
            title="",
            heading="",
            page=None,
            start_line=None,
            end_line=None,
            score=1.0,
            relevance=None,
        )
        for number in range(1, count + 1)
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
    ) -> None:
        self.reply = reply
        self.grades = list(grades)
        self.holds = holds
        self.limit = limit
        self.prompts: list[str] = []
        self.silent_on = ""
        self.running = 0

    async def prompt_tokens(self) -> int | None:
        return self.limit

    async def choose(
        self, messages: Sequence[Message], choices: Sequence[str]
    ) -> dict[str, float] | None:
        self._take(messages)
        grade = self.grades.pop(0)
        self.running += 1
        try:
            if isinstance(grade, Exception):
                raise grade
            await asyncio.Event().wait() if grade == {} else None
        finally:
            self.running -= 1
        return grade

    async def complete(self, messages: Sequence[Message], max_tokens: int) -> str:
        self._take(messages)
        return self.reply

    async def stream(self, messages: Sequence[Message], silent_on: str = "") -> AsyncGenerator[str]:
        self._take(messages)
        self.silent_on = silent_on
        for word in self.reply.split():
            yield word

    def _take(self, messages: Sequence[Message]) -> None:
        prompt = messages[-1][1]
        self.prompts.append(prompt)
        if prompt.count("<document>") > self.holds:
            raise PromptTooLong("too long")


def yes(probability: float) -> dict[str, float]:
    return {"yes": probability, "no": 1 - probability}


async def test_each_passage_is_asked_about_after_all_of_them() -> None:
    model = ScriptedModel(grades=[yes(0.9), None, yes(0.1)])
    assert await LanguageModelReader(model).grade("Why?", passages(3)) == [0.9, None, 0.1]
    assert [prompt.count("<document>") for prompt in model.prompts] == [3, 3, 3]
    assert [f"document [{n}] contain" in model.prompts[n - 1] for n in (1, 2, 3)] == [True] * 3


async def test_pointwise_grading_shows_one_passage_a_prompt() -> None:
    model = ScriptedModel(grades=[yes(0.9), yes(0.2)])
    assert await LanguageModelReader(model, "pointwise").grade("Why?", passages(2)) == [0.9, 0.2]
    assert [prompt.count("<document>") for prompt in model.prompts] == [1, 1]
    assert "fact 2" in model.prompts[1]


async def test_grading_switched_off_asks_nothing() -> None:
    model = ScriptedModel()
    assert await LanguageModelReader(model, "off").grade("Why?", passages(2)) == [None, None]
    assert model.prompts == []


async def test_passages_beyond_the_context_are_graded_alone() -> None:
    model = ScriptedModel(grades=[yes(0.5)] * 9, limit=700)
    assert await LanguageModelReader(model).grade("Why?", passages(9)) == [0.5] * 9
    shown = [prompt.count("<document>") for prompt in model.prompts]
    assert shown[0] > 1
    assert shown[-1] == 1
    assert len(shown) == 9


async def test_a_prompt_that_proves_too_long_is_asked_passage_by_passage() -> None:
    model = ScriptedModel(grades=[yes(0.5)] * 3, holds=1)
    assert await LanguageModelReader(model).grade("Why?", passages(3)) == [0.5] * 3


async def test_a_passage_too_long_even_alone_is_unknown() -> None:
    model = ScriptedModel(holds=0)
    assert await LanguageModelReader(model).grade("Why?", passages(2)) == [None, None]


async def test_when_one_grade_fails_the_others_are_stopped() -> None:
    model = ScriptedModel(grades=[{}, LanguageModelUnavailable("gone"), {}])
    with pytest.raises(LanguageModelUnavailable, match="gone"):
        await LanguageModelReader(model).grade("Why?", passages(3))
    await asyncio.sleep(0)
    assert model.running == 0


@pytest.mark.parametrize(
    ("reply", "query"),
    [
        ("MISSING: the date\nSEARCH: release date of 1.0", "release date of 1.0"),
        ('**MISSING:** x\n**Search**: "release date"', "release date"),
        ("```\nMISSING: x\nSEARCH: release date\n```", "release date"),
        ('```json\n{"missing": "x", "search": "release date"}\n```', "release date"),
        ('{"query": "release date"}', "release date"),
        ('{"query": "release', ""),
        ('{"query": ["release"]}', ""),
        ("release date", "release date"),
        ("Sure! Here is:\nsomething", ""),
        ("SEARCH:", ""),
        ("", ""),
        ("SEARCH: " + "x" * (MAX_QUERY_CHARS + 1), ""),
    ],
)
def test_a_query_is_read_however_it_is_wrapped(reply: str, query: str) -> None:
    assert read_query(reply) == query


@pytest.mark.parametrize("repeated", ["Why?", "why", "  WHY ?!", "Old query.", ""])
async def test_a_query_already_tried_is_none(repeated: str) -> None:
    model = ScriptedModel(reply=f"SEARCH: {repeated}")
    assert await LanguageModelReader(model).rewrite("Why?", ["old query"], passages(1)) is None


async def test_a_rewrite_sees_what_was_tried_and_found() -> None:
    model = ScriptedModel(reply="MISSING: a\nSEARCH: new query")
    query = await LanguageModelReader(model).rewrite("Why?", ["old query"], passages(2))
    assert query == "new query"
    assert "- old query" in model.prompts[0]
    assert "fact 2" in model.prompts[0]


async def test_an_answer_comes_in_pieces_and_is_silent_on_not_found() -> None:
    model = ScriptedModel(reply="Blue [1].")
    reader = LanguageModelReader(model)
    assert [piece async for piece in reader.answer("Why?", passages(2))] == ["Blue", "[1]."]
    assert model.silent_on == NOT_FOUND


async def test_without_passages_the_model_is_not_asked() -> None:
    model = ScriptedModel(reply="Made up.")
    assert [piece async for piece in LanguageModelReader(model).answer("Why?", [])] == []
    assert model.prompts == []


async def test_an_answer_is_tried_again_with_fewer_passages_when_too_long() -> None:
    model = ScriptedModel(reply="Blue", holds=2)
    answer = LanguageModelReader(model).answer("Why?", passages(8))
    assert [piece async for piece in answer] == ["Blue"]
    assert [prompt.count("<document>") for prompt in model.prompts] == [8, 4, 2]


async def test_one_passage_that_is_too_long_is_an_error() -> None:
    model = ScriptedModel(holds=0)
    with pytest.raises(PromptTooLong):
        await anext(LanguageModelReader(model).answer("Why?", passages(1)))
