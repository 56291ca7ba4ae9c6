"""Answers of the language model: begun anew, or taken over where grading has begun one."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from backends.chat.server import Prompt
from backends.reader import Passage, Piece
from errors import LanguageModelUnavailable, PromptTooLong
from nodes.fitting import Measured, fitting_passages, halving
from nodes.layouts import LEAST_KEPT, Layout, Layouts
from nodes.prompts import NOT_FOUND, answer_prompt, shared_beginning
from nodes.speculation import Held, Speculation, speculating

Begun = tuple[Piece | None, AsyncGenerator[Piece]]
"""The first piece of an answer, None if it says nothing, and the others."""


class Streaming(Measured, Protocol):
    """A model that answers piece by piece."""

    def stream(
        self, prompt: Prompt, *, silent_on: str = "", numbers: Mapping[int, int] | None = None
    ) -> AsyncGenerator[Piece]: ...


class Answers:
    """Begins answers. What a graded prompt has shown is shown again where that pays."""

    def __init__(self, model: Streaming, layouts: Layouts, secret: bytes) -> None:
        self._model = model
        self._layouts = layouts
        self._secret = secret
        self._held = Held()

    async def begin(self, question: str, passages: Sequence[Passage]) -> Begun:
        """The answer from these passages: the one begun before, or one of as many as fit."""
        return await self._begun_before(question, passages) or await self._begin_anew(
            question, passages
        )

    async def layout(self, question: str, passages: Sequence[Passage]) -> Layout:
        """The graded prompt's documents where that pays, else the passages as they come."""
        graded = self._layouts.graded(question, passages)
        return graded or Layout(await fitting_passages(self._model, question, passages))

    def begin_unconfirmed(
        self, question: str, shown: Sequence[Passage]
    ) -> AbstractAsyncContextManager[Speculation]:
        """An answer from all of these passages, left at the block's end unless confirmed."""
        return speculating(shown, self._stream(question, Layout(shown)))

    def confirm(self, question: str, speculation: Speculation, kept: int) -> None:
        """So many of its passages were kept: it is given if its prompt would be used again.

        Its own prompt would be the same then, but for a sentence that names those that help.
        """
        if kept and kept >= LEAST_KEPT * len(speculation.shown):
            self._held.hold(question, speculation)

    async def _begun_before(self, question: str, passages: Sequence[Passage]) -> Begun | None:
        """The answer begun beside the grading, where it may stand for the one to be begun now."""
        layout = self._layouts.graded(question, passages)
        if layout is None or (found := self._held.take(question, layout.shown)) is None:
            return None
        pieces = found.answer(layout.numbers)
        try:
            first = await anext(pieces, None)
        except LanguageModelUnavailable:
            return None  # nothing of it was seen
        if first is None and layout.used:
            return None  # with what does not help left out, it may find something
        return first, pieces

    async def _begin_anew(self, question: str, passages: Sequence[Passage]) -> Begun:
        async def begin(layout: Layout) -> Begun:
            pieces = self._stream(question, layout)
            return await anext(pieces, None), pieces

        async def begin_with(shown: Sequence[Passage]) -> Begun:
            return await begin(Layout(shown))

        try:
            return await begin(await self.layout(question, passages))
        except PromptTooLong:
            # The model may be another by now, with a shorter context; and lengths are estimates.
            shown = await fitting_passages(self._model, question, passages)
            half = shown[: max(1, len(shown) // 2)] if len(shown) == len(passages) else shown
            return await halving(begin_with, half)

    def _stream(self, question: str, layout: Layout) -> AsyncGenerator[Piece]:
        prompt = answer_prompt(shared_beginning(question, layout.shown, self._secret), layout.used)
        return self._model.stream(prompt, silent_on=NOT_FOUND, numbers=layout.numbers)
