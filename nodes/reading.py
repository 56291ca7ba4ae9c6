"""The language model as a reader: it grades, rewrites, answers and verifies."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal, Protocol

from backends.chat.server import Prompt
from backends.reader import Passage, Piece, Rewriting, Statement, Turn
from errors import PromptTooLong
from nodes.answers import Answers, Streaming
from nodes.fitting import fitting_passages, fitting_turns, halving
from nodes.layouts import Layouts
from nodes.named_lines import MISSING, QUESTION, SEARCH, lines_named, only_line
from nodes.prompts import (
    CHOICES,
    grading_prompts,
    rewrite_prompt,
    shared_beginning,
    stand_alone_prompt,
    verify_prompt,
)

Strategy = Literal["shared_prefix", "pointwise", "off"]

MAX_REWRITE_TOKENS = 200
# What may help a rewrite is in the first words of what was found.
_REWRITE_PASSAGES = 4


class Model(Streaming, Protocol):
    """What the reader needs of ``LanguageModel``."""

    @property
    def name(self) -> str: ...

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]: ...

    async def complete(self, prompt: Prompt, max_tokens: int) -> str: ...


class LanguageModelReader:
    """A ``Reader`` on the server machine; any method may raise ``LanguageModelUnavailable``.

    ``secret`` makes the marks around quoted text. The installation's own keeps the server's
    prefix cache warm from one run of the program to the next; without one it lasts for this one.

    With ``speculate_from``, the grade from which a passage is kept, the strategy ``shared_prefix``
    begins the answer beside the grading (``nodes.speculation``).
    """

    def __init__(
        self,
        model: Model,
        strategy: Strategy = "shared_prefix",
        secret: bytes | None = None,
        *,
        speculate_from: float | None = None,
    ) -> None:
        self._model = model
        self._strategy = strategy
        self._speculate_from = speculate_from
        self._secret = secret or secrets.token_bytes(32)
        self._layouts = Layouts()
        self._answers = Answers(model, self._layouts, self._secret)
        self.unreadable = 0
        """Replies that should have been yes or no and were neither, since the start."""

    @property
    def name(self) -> str:
        """The model's id as its server reports it."""
        return self._model.name

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The probability that each passage helps, a token each, in one request where possible.

        None for all with the strategy ``off``, and for a passage whose reply cannot be read.
        Passages beyond the model's context are graded each alone.
        """
        if self._strategy == "off" or not passages:
            return [None] * len(passages)
        grades: list[float | None] = []
        if self._strategy == "shared_prefix":
            shown = await fitting_passages(self._model, question, passages)
            try:
                if self._speculate_from is None or len(shown) < len(passages):
                    grades = await self._judge(self._grading(question, shown))
                else:
                    grades = await self._grade_and_begin(question, shown, self._speculate_from)
                self._layouts.remember(question, shown)
            except PromptTooLong:  # lengths are only estimated
                grades = []
        return grades + await self._grade_alone(question, passages[len(grades) :])

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> Rewriting:
        """Queries for what the model says is missing, one for each part where it names several."""

        async def ask(shown: Sequence[Passage]) -> str:
            prompt = rewrite_prompt(shared_beginning(question, shown, self._secret), tried)
            return await self._model.complete(prompt, MAX_REWRITE_TOKENS)

        graded = self._layouts.graded(question, passages)
        if graded is not None and graded.numbers is None:
            shown = list(graded.shown)  # the server has read them already
        else:
            shown = await fitting_passages(self._model, question, passages[:_REWRITE_PASSAGES])
        return read_rewriting(await halving(ask, shown))

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Piece]:
        """The answer with ``[n]`` for the n-th passage; nothing but thoughts means: not found."""
        if not passages:
            return
        first, pieces = await self._answers.begin(question, passages)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        """The question as the model writes it out; as it was where that cannot be had."""
        turns = await fitting_turns(self._model, question, conversation)
        while turns:
            prompt = stand_alone_prompt(question, turns, self._secret)
            try:
                reply = await self._model.complete(prompt, MAX_REWRITE_TOKENS)
            except PromptTooLong:
                turns = turns[len(turns) // 2 + 1 :]
            else:
                alone = lines_named(reply, QUESTION) or only_line(reply)
                return alone[-1] if alone else question
        return question

    async def verify(
        self, question: str, passages: Sequence[Passage], statements: Sequence[Statement]
    ) -> list[float | None]:
        """The probability that passages support each statement, in one request where possible.

        ``passages`` are the answer's, so that the server has read the prompt's beginning already.
        None where the reply, or a passage in the prompt, cannot be had.
        """
        layout = await self._answers.layout(question, passages)
        shared = shared_beginning(question, layout.shown, self._secret)
        prompts: dict[int, Prompt] = {}
        for place, (text, numbers) in enumerate(statements):
            own = [n for n in (layout.number_of(number) for number in numbers) if n is not None]
            if own:
                prompts[place] = verify_prompt(shared, text, own)
        try:
            found = await self._judge(list(prompts.values()))
        except PromptTooLong:
            found = [None] * len(prompts)
        supports = dict(zip(prompts, found, strict=True))
        return [supports.get(place) for place in range(len(statements))]

    async def _grade_and_begin(
        self, question: str, shown: Sequence[Passage], kept_from: float
    ) -> list[float | None]:
        """The grades, with an answer begun beside them that they confirm or leave."""
        async with self._answers.begin_unconfirmed(question, shown) as speculation:
            grades = await self._judge(self._grading(question, shown))
            kept = sum(grade is None or grade >= kept_from for grade in grades)
            self._answers.confirm(question, speculation, kept)
        return grades

    async def _grade_alone(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The grades of passages in a short prompt each; one too long even for that is unknown."""
        prompts: list[Prompt] = []
        for passage in passages:
            shown = await fitting_passages(self._model, question, [passage])
            prompts += self._grading(question, shown)
        try:
            return await self._judge(prompts)
        except PromptTooLong:
            if len(passages) == 1:
                return [None]
        return [(await self._grade_alone(question, [passage]))[0] for passage in passages]

    def _grading(self, question: str, shown: Sequence[Passage]) -> Sequence[Prompt]:
        return grading_prompts(shared_beginning(question, shown, self._secret), len(shown))

    async def _judge(self, prompts: Sequence[Prompt]) -> list[float | None]:
        """The probability of yes for each prompt."""
        if not prompts:
            return []
        replies = await self._model.choose(prompts, CHOICES)
        self.unreadable += replies.count(None)
        return [None if reply is None else reply[CHOICES[0]] for reply in replies]


def read_rewriting(reply: str) -> Rewriting:
    """The searches that a reply proposes and what it finds missing, however it is wrapped."""
    missing = lines_named(reply, MISSING)
    queries = lines_named(reply, SEARCH) or only_line(reply)
    return Rewriting(queries, missing[0] if missing else "")
