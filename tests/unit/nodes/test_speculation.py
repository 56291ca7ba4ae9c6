"""An answer begun beside the grading is given when that confirms it, and left when it does not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import pytest

from backends.chat.answer_text import AnswerText
from backends.chat.server import Prompt
from backends.reader import Passage, Piece, Thought
from errors import LanguageModelUnavailable, PromptTooLong
from nodes import speculation
from nodes.reading import LanguageModelReader, Strategy
from tests.fakes import passage, spoken

FOUND = [passage(f"fact {number} " * 20, source=f"{number}.md") for number in range(1, 5)]


class TwoAtOnce:
    """A model whose grades come when a test lets them; its answers tell when they are left."""

    name = "scripted"

    def __init__(
        self, grades: Sequence[float | None], reply: str = "First [4]. Second [2]."
    ) -> None:
        self.grades = grades
        self.reply = reply
        self.graded = asyncio.Event()
        self.graded.set()
        self.failing: list[Exception] = []
        """What the next answers come to."""
        self.breaks_after: int | None = None
        self.thought = ""
        self.slow = asyncio.Event()
        """The answer's first piece waits for it."""
        self.slow.set()
        self.prompts: list[str] = []
        self.open = 0
        """Answers that are being written."""
        self.pulled = 0
        """Pieces that were read of all answers."""

    async def prompt_tokens(self) -> int | None:
        return None

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        return None

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]:
        await asyncio.sleep(0)
        await self.graded.wait()
        return [None if yes is None else {"yes": yes, "no": 1 - yes} for yes in self.grades]

    async def complete(self, prompt: Prompt, max_tokens: int) -> str:
        raise AssertionError("nothing is rewritten here")

    async def stream(
        self, prompt: Prompt, *, silent_on: str = "", numbers: Mapping[int, int] | None = None
    ) -> AsyncGenerator[Piece]:
        self.prompts.append(prompt[-1][1])
        self.open += 1
        try:
            await self.slow.wait()
            if self.failing:
                raise self.failing.pop(0)
            if self.thought:
                yield Thought(self.thought)
            text = AnswerText(silent_on, numbers)
            for position, character in enumerate(self.reply):
                if position == self.breaks_after:
                    raise LanguageModelUnavailable("It broke off.")
                if piece := text.feed(character):
                    self.pulled += 1
                    yield piece
            if rest := text.finish():
                yield rest
        finally:
            self.open -= 1


def reader(model: TwoAtOnce, strategy: Strategy = "shared_prefix") -> LanguageModelReader:
    return LanguageModelReader(model, strategy, speculate_from=0.5)


def relevant(found: Sequence[Passage], grades: Sequence[float | None]) -> list[Passage]:
    """As the graph keeps them: those from 0.5 on, best first, and then the unknown."""
    known = [(grade, p) for grade, p in zip(grades, found, strict=True) if grade is not None]
    best = [p for grade, p in sorted(known, key=lambda pair: -pair[0]) if grade >= 0.5]
    return best + [p for grade, p in zip(grades, found, strict=True) if grade is None]


async def written(pieces: AsyncIterator[Piece]) -> str:
    return "".join(await spoken(pieces))


@pytest.fixture
def briefly_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculation, "HELD_S", 0.01)


async def until_closed(model: TwoAtOnce) -> None:
    async with asyncio.timeout(30):
        while model.open:  # noqa: ASYNC110 - of a generator, which tells nobody
            await asyncio.sleep(0.005)


async def test_a_confirmed_answer_was_begun_before_the_grades_came() -> None:
    model = TwoAtOnce(grades=[0.6, 0.7, 0.8, 0.9])
    model.graded.clear()
    by = reader(model)
    grading = asyncio.create_task(by.grade("Why?", FOUND))
    async with asyncio.timeout(30):
        while not model.pulled:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert not grading.done()
    model.graded.set()
    kept = relevant(FOUND, await grading)
    assert model.pulled == 1, "what is not confirmed is not read on"
    assert await written(by.answer("Why?", kept)) == "First [1]. Second [3]."
    assert len(model.prompts) == 1
    assert model.open == 0


async def test_the_begun_answers_prompt_is_the_one_it_would_have_had() -> None:
    model = TwoAtOnce(grades=[0.6, 0.7, 0.8, 0.9])
    begun = LanguageModelReader(model, secret=b"s", speculate_from=0.5)
    later = LanguageModelReader(model, secret=b"s")
    for by in (begun, later):
        kept = relevant(FOUND, await by.grade("Why?", FOUND))
        await written(by.answer("Why?", kept))
    assert model.prompts[0] == model.prompts[1]


async def test_no_marker_of_a_document_that_was_dropped_is_given() -> None:
    model = TwoAtOnce(grades=[0.9, 0.1, 0.8, 0.7], reply="First [2]. Second [1,4]. Third [2][3].")
    by = reader(model)
    kept = relevant(FOUND, await by.grade("Why?", FOUND))
    assert await written(by.answer("Why?", kept)) == "First [0]. Second [1, 3]. Third [0][2]."
    assert len(model.prompts) == 1


@pytest.mark.parametrize("grades", [[0.1, 0.2, 0.3, 0.4], [0.9, 0.1, 0.1, 0.1]])
async def test_an_answer_that_is_not_confirmed_is_left_before_the_grades_are_told(
    grades: list[float],
) -> None:
    model = TwoAtOnce(grades)
    by = reader(model)
    assert await by.grade("Why?", FOUND) == grades
    assert (len(model.prompts), model.open) == (1, 0)
    if kept := relevant(FOUND, grades):
        assert await written(by.answer("Why?", kept)) == model.reply
        assert model.prompts[1].count("</document ") == len(kept)


async def test_an_answer_that_has_not_begun_when_the_grades_come_is_waited_for() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    model.slow.clear()
    by = reader(model)
    await by.grade("Why?", FOUND)
    answering = asyncio.create_task(written(by.answer("Why?", FOUND)))
    await asyncio.sleep(0.01)
    model.slow.set()
    assert await answering == "First [4]. Second [2]."
    assert len(model.prompts) == 1


async def test_unknown_grades_confirm_as_they_keep_their_passages() -> None:
    model = TwoAtOnce(grades=[None] * 4)
    by = reader(model)
    kept = relevant(FOUND, await by.grade("Why?", FOUND))
    assert await written(by.answer("Why?", kept)) == "First [4]. Second [2]."
    assert len(model.prompts) == 1


@pytest.mark.parametrize("failure", [PromptTooLong("long"), LanguageModelUnavailable("gone")])
async def test_one_that_could_not_be_begun_is_begun_again(failure: Exception) -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    model.failing = [failure]
    by = reader(model)
    await by.grade("Why?", FOUND)
    assert await written(by.answer("Why?", FOUND)) == "First [4]. Second [2]."
    assert len(model.prompts) == 2


async def test_one_that_finds_nothing_is_tried_without_what_does_not_help() -> None:
    model = TwoAtOnce(grades=[0.9, 0.1, 0.8, 0.7], reply="NOT_FOUND")
    by = reader(model)
    kept = relevant(FOUND, await by.grade("Why?", FOUND))
    assert await written(by.answer("Why?", kept)) == ""
    assert "Use only documents 1, 3 and 4;" in model.prompts[1]
    model.grades = [0.9] * 4
    await by.grade("How?", FOUND)
    assert await written(by.answer("How?", FOUND)) == ""
    assert len(model.prompts) == 3, "from all of them it would only find nothing again"


async def test_one_that_breaks_off_while_it_is_read_says_so() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    model.breaks_after = 6
    by = reader(model)
    await by.grade("Why?", FOUND)
    pieces = by.answer("Why?", FOUND)
    assert [await anext(pieces) for _ in range(6)] == list("First ")
    with pytest.raises(LanguageModelUnavailable, match="broke off"):
        await anext(pieces)
    assert len(model.prompts) == 1, "what was seen of it cannot be taken back"


async def test_leaving_one_while_it_is_read_ends_the_servers_work() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    by = reader(model)
    await by.grade("Why?", FOUND)
    pieces = by.answer("Why?", FOUND)
    assert await anext(pieces) == "F"
    await pieces.aclose()
    assert model.open == 0


async def test_a_grading_that_fails_or_is_cancelled_leaves_it() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    model.graded.clear()
    grading = asyncio.create_task(reader(model).grade("Why?", FOUND))
    await asyncio.sleep(0.01)
    assert model.open == 1
    grading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grading
    assert model.open == 0


async def test_a_run_that_ends_before_its_answer_leaves_it_soon(briefly_held: None) -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    by = reader(model)
    await by.grade("Why?", FOUND)
    assert model.open == 1
    await until_closed(model)
    assert await written(by.answer("Why?", FOUND)) == "First [4]. Second [2]."
    assert len(model.prompts) == 2


async def test_what_the_model_thinks_comes_before_what_it_says() -> None:
    model = TwoAtOnce(grades=[0.6, 0.7, 0.8, 0.9])
    model.thought = "See [4]."
    by = reader(model)
    kept = relevant(FOUND, await by.grade("Why?", FOUND))
    first, *others = [piece async for piece in by.answer("Why?", kept)]
    assert first == Thought("See [4].")
    assert "".join(map(str, others)) == "First [1]. Second [3]."


async def test_one_that_is_taken_over_is_read_to_its_end(briefly_held: None) -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    by = reader(model)
    await by.grade("Why?", FOUND)
    pieces = by.answer("Why?", FOUND)
    begun = await anext(pieces)
    await asyncio.sleep(0.05)
    assert f"{begun}{await written(pieces)}" == "First [4]. Second [2]."


async def test_two_runs_of_the_same_question_have_an_answer_each() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    by = reader(model)
    await asyncio.gather(*(by.grade("Why?", FOUND) for _ in range(2)))
    answers = await asyncio.gather(*(written(by.answer("Why?", FOUND)) for _ in range(2)))
    assert answers == ["First [4]. Second [2]."] * 2
    assert (len(model.prompts), model.open) == (2, 0)


async def test_an_answer_from_other_passages_is_not_the_one_that_was_begun(
    briefly_held: None,
) -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    by = reader(model)
    await by.grade("Why?", FOUND)
    await written(by.answer("Why?", [*FOUND[:3], passage("from another search")]))
    assert len(model.prompts) == 2
    await until_closed(model)


async def test_only_grading_behind_the_answers_prompt_begins_one() -> None:
    model = TwoAtOnce(grades=[0.9] * 4)
    await reader(model, "pointwise").grade("Why?", FOUND)
    await LanguageModelReader(model).grade("Why?", FOUND)
    assert model.prompts == []
