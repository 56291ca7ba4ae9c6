"""The language model as a reader: it grades, rewrites, answers and verifies."""

import json
import re
import secrets
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Literal, Protocol, TypeVar

from backends.chat.server import Prompt
from backends.reader import Passage, Piece, Turn
from errors import PromptTooLong
from nodes.layouts import Layout, Layouts
from nodes.prompts import (
    CHOICES,
    NOT_FOUND,
    OVERHEAD_TOKENS,
    answer_prompt,
    block,
    estimated_tokens,
    fitting,
    grading_prompts,
    rewrite_prompt,
    shared_beginning,
    stand_alone_prompt,
    verify_prompt,
)

T = TypeVar("T")
Strategy = Literal["shared_prefix", "pointwise", "off"]

MAX_REWRITE_TOKENS = 160
MAX_QUERY_CHARS = 300
# What may help a rewrite is in the first words of what was found.
_REWRITE_PASSAGES = 4


class Model(Protocol):
    """What the reader needs of ``LanguageModel``."""

    @property
    def name(self) -> str: ...

    async def prompt_tokens(self) -> int | None: ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None: ...

    async def choose(
        self, prompts: Sequence[Prompt], choices: Sequence[str]
    ) -> list[dict[str, float] | None]: ...

    async def complete(self, prompt: Prompt, max_tokens: int) -> str: ...

    def stream(
        self, prompt: Prompt, *, silent_on: str = "", numbers: Mapping[int, int] | None = None
    ) -> AsyncGenerator[Piece]: ...


class LanguageModelReader:
    """A ``Reader`` on the server machine; any method may raise ``LanguageModelUnavailable``.

    ``secret`` makes the marks around quoted text. The installation's own keeps the server's
    prefix cache warm from one run of the program to the next; without one it lasts for this one.
    """

    def __init__(
        self, model: Model, strategy: Strategy = "shared_prefix", secret: bytes | None = None
    ) -> None:
        self._model = model
        self._strategy = strategy
        self._secret = secret or secrets.token_bytes(32)
        self._layouts = Layouts()
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
            shown = await self._fitting(question, passages)
            try:
                grades = await self._judge(self._grading(question, shown))
                self._layouts.remember(question, shown)
            except PromptTooLong:  # lengths are only estimated
                grades = []
        return grades + await self._grade_alone(question, passages[len(grades) :])

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> str | None:
        """Another query from what the model says is missing; None if it has no new one."""

        async def ask(shown: Sequence[Passage]) -> str:
            prompt = rewrite_prompt(shared_beginning(question, shown, self._secret), tried)
            return await self._model.complete(prompt, MAX_REWRITE_TOKENS)

        graded = self._layouts.graded(question, passages)
        if graded is not None and graded.numbers is None:
            shown = list(graded.shown)  # the server has read them already
        else:
            shown = await self._fitting(question, passages[:_REWRITE_PASSAGES])
        query = read_query(await _halving(ask, shown))
        known = {_normalised(old) for old in (question, *tried)}
        return query if _normalised(query) not in {*known, ""} else None

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Piece]:
        """The answer with ``[n]`` for the n-th passage; nothing but thoughts means: not found."""
        if not passages:
            return

        async def begin(layout: Layout) -> tuple[Piece | None, AsyncGenerator[Piece]]:
            shared = shared_beginning(question, layout.shown, self._secret)
            pieces = self._model.stream(
                answer_prompt(shared, layout.used), silent_on=NOT_FOUND, numbers=layout.numbers
            )
            return await anext(pieces, None), pieces

        async def begin_anew(
            shown: Sequence[Passage],
        ) -> tuple[Piece | None, AsyncGenerator[Piece]]:
            return await begin(Layout(shown))

        try:
            first, pieces = await begin(await self._layout(question, passages))
        except PromptTooLong:
            # The model may be another by now, with a shorter context; and lengths are estimates.
            shown = await self._fitting(question, passages)
            half = shown[: max(1, len(shown) // 2)] if len(shown) == len(passages) else shown
            first, pieces = await _halving(begin_anew, half)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        """The question as the model writes it out; as it was where the reply is none."""
        reply = await self._model.complete(
            stand_alone_prompt(question, conversation, self._secret), MAX_REWRITE_TOKENS
        )
        return read_query(reply, "QUESTION") or question

    async def verify(
        self, question: str, passages: Sequence[Passage], claim: str, numbers: Sequence[int]
    ) -> float | None:
        """The probability that the passages of these numbers support a claim of the answer.

        ``passages`` are the answer's, so that the server has read the prompt's beginning already.
        None where the reply, or a passage in the prompt, cannot be had.
        """
        layout = await self._layout(question, passages)
        own = [n for n in (layout.number_of(number) for number in numbers) if n is not None]
        if not own:
            return None
        shared = shared_beginning(question, layout.shown, self._secret)
        try:
            (support,) = await self._judge([verify_prompt(shared, claim, own)])
        except PromptTooLong:
            return None
        return support

    async def _layout(self, question: str, passages: Sequence[Passage]) -> Layout:
        """The graded prompt's documents where that pays, else the passages as they come."""
        graded = self._layouts.graded(question, passages)
        return graded or Layout(await self._fitting(question, passages))

    async def _grade_alone(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The grades of passages in a short prompt each; one too long even for that is unknown."""
        prompts: list[Prompt] = []
        for passage in passages:
            prompts += self._grading(question, await self._fitting(question, [passage]))
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

    async def _fitting(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        """The passages that fit the model: by a generous estimate, or counted where that fails."""
        limit = await self._model.prompt_tokens()
        if limit is None:
            return list(passages)
        room = limit - OVERHEAD_TOKENS - estimated_tokens(question)
        shown = fitting(passages, room, estimated_tokens)
        if [p["text"] for p in shown] == [p["text"] for p in passages]:
            return shown
        texts = [p["text"] for p in passages]
        texts += [block(number, passage, b"") for number, passage in enumerate(passages, 1)]
        counts = await self._model.count_tokens(texts)
        if counts is None:
            return shown
        return fitting(passages, room, dict(zip(texts, counts, strict=True)).__getitem__)


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
