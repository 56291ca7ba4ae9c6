"""The language model as a reader: it grades, rewrites and answers."""

import asyncio
import json
import re
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Literal, Protocol, TypeVar

from backends.chat.server import Message
from backends.reader import Passage, Turn
from errors import PromptTooLong
from nodes.prompts import (
    CHOICES,
    NOT_FOUND,
    answer_prompt,
    fitting,
    grading_prompt,
    pointwise_prompt,
    rewrite_prompt,
    stand_alone_prompt,
    verification_prompt,
)

T = TypeVar("T")
Strategy = Literal["shared_prefix", "pointwise", "off"]

# Enough to keep a server's batch full; beyond that requests only queue at the server.
MAX_CONCURRENT_GRADES = 32
MAX_REWRITE_TOKENS = 160
MAX_QUERY_CHARS = 300
# What may help a rewrite is in the first words of what was found.
_REWRITE_PASSAGES = 4


class Model(Protocol):
    """What the reader needs of ``LanguageModel``."""

    @property
    def name(self) -> str: ...

    async def prompt_tokens(self) -> int | None: ...

    async def choose(
        self, messages: Sequence[Message], choices: Sequence[str]
    ) -> dict[str, float] | None: ...

    async def complete(self, messages: Sequence[Message], max_tokens: int) -> str: ...

    def stream(self, messages: Sequence[Message], silent_on: str = "") -> AsyncGenerator[str]: ...


class LanguageModelReader:
    """A ``Reader`` on the server machine; any method may raise ``LanguageModelUnavailable``."""

    def __init__(self, model: Model, strategy: Strategy = "shared_prefix") -> None:
        self._model = model
        self._strategy = strategy
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_GRADES)

    @property
    def name(self) -> str:
        """The model's id as its server reports it."""
        return self._model.name

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The probability that each passage helps, in one round of one-token requests.

        None for all with the strategy ``off``, and for a passage whose reply cannot be read.
        Passages beyond the model's context are graded each alone.
        """
        if self._strategy == "off" or not passages:
            return [None] * len(passages)
        limit = await self._model.prompt_tokens()
        shown = fitting(question, passages, limit) if self._strategy == "shared_prefix" else []
        prompts = [grading_prompt(question, shown, n) for n in range(1, len(shown) + 1)]
        try:
            together = await _together([self._judge(prompt) for prompt in prompts])
        except PromptTooLong:  # lengths are only estimated
            together = []
        rest = passages[len(together) :]
        return together + await _together(
            [self._judge_alone(question, passage, limit) for passage in rest]
        )

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> str | None:
        """Another query from what the model says is missing; None if it has no new one."""

        async def ask(shown: Sequence[Passage]) -> str:
            prompt = rewrite_prompt(question, tried, shown)
            return await self._model.complete(prompt, MAX_REWRITE_TOKENS)

        shown = fitting(question, passages[:_REWRITE_PASSAGES], await self._model.prompt_tokens())
        query = read_query(await _halving(ask, shown))
        known = {_normalised(old) for old in (question, *tried)}
        return query if _normalised(query) not in {*known, ""} else None

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        """The question as the model writes it out; as it was where the reply is none."""
        reply = await self._model.complete(
            stand_alone_prompt(question, conversation), MAX_REWRITE_TOKENS
        )
        return read_query(reply, "QUESTION") or question

    async def verify(
        self, question: str, passages: Sequence[Passage], claim: str, numbers: Sequence[int]
    ) -> float | None:
        """The probability of yes, with one token, behind the prompt that the answer has read."""
        shown = fitting(question, passages, await self._model.prompt_tokens())
        seen = [number for number in numbers if number <= len(shown)]
        if not seen:
            return None
        try:
            return await self._judge(verification_prompt(question, shown, claim, seen))
        except PromptTooLong:  # lengths are only estimated
            return None

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[str]:
        """The answer in pieces, with ``[n]`` for the n-th passage; no piece means: not found."""
        if not passages:
            return

        async def begin(shown: Sequence[Passage]) -> tuple[str | None, AsyncGenerator[str]]:
            pieces = self._model.stream(answer_prompt(question, shown), silent_on=NOT_FOUND)
            return await anext(pieces, None), pieces

        shown = fitting(question, passages, await self._model.prompt_tokens())
        first, pieces = await _halving(begin, shown)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    async def _judge_alone(
        self, question: str, passage: Passage, limit: int | None
    ) -> float | None:
        """The grade of one passage that the others' prompt has no room for."""
        (shown,) = fitting(question, [passage], limit)
        try:
            return await self._judge(pointwise_prompt(question, shown))
        except PromptTooLong:
            return None

    async def _judge(self, prompt: Sequence[Message]) -> float | None:
        """The probability of yes."""
        async with self._slots:
            probabilities = await self._model.choose(prompt, CHOICES)
        return None if probabilities is None else probabilities[CHOICES[0]]


def read_query(reply: str, name: str = "SEARCH") -> str:
    """The line of that name in a reply, however it is wrapped; else empty.

    The last ``NAME:`` line, a JSON object's field of that name or ``query``, or a reply of one
    line.
    """
    text = re.sub(r"^```\w*\s*$", "", reply, flags=re.MULTILINE).strip()
    if text.startswith("{"):
        return _bounded(_from_json(text, name))
    named = re.findall(rf"^\W*{name}\W*:(.*)$", text, flags=re.MULTILINE | re.IGNORECASE)
    if named:
        return _bounded(named[-1])
    return _bounded(text) if text and "\n" not in text and ":" not in text else ""


def _from_json(text: str, name: str) -> str:
    try:
        value: object = json.loads(text)
    except ValueError:
        return ""
    fields = (
        {key.casefold(): item for key, item in value.items()} if isinstance(value, dict) else {}
    )
    query = fields.get(name.casefold()) or fields.get("query")
    return query if isinstance(query, str) else ""


def _bounded(query: str) -> str:
    """One line without quotation marks around it; too long a one is no query."""
    line = " ".join(query.split()).strip(" \"'`*<>")
    return line if len(line) <= MAX_QUERY_CHARS else ""


def _normalised(query: str) -> str:
    """Queries that differ only in case, spacing and punctuation find the same."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", query).casefold())
    return " ".join(words)


async def _together(calls: Sequence[Coroutine[Any, Any, float | None]]) -> list[float | None]:
    """All results in order; when one call fails the others are stopped."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _halving(
    ask: Callable[[Sequence[Passage]], Awaitable[T]], passages: Sequence[Passage]
) -> T:
    """Ask with fewer passages while the prompt is too long: token counts are only estimated."""
    while True:
        try:
            return await ask(passages)
        except PromptTooLong:
            if len(passages) <= 1:
                raise
            passages = passages[: len(passages) // 2]
