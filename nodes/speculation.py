"""An answer that is begun while its passages are still being graded.

Grading reads the documents and generates a token; the first token of the answer comes after it, by
another request. An answer begun at the same time, behind the same beginning of the prompt, is
there as soon as the grades are. Nobody sees anything of it before they confirm it: until then it is
one piece and a connection that nobody reads from. One that is not confirmed is left at once, and
leaving it ends the server's work.

Between grading and answering, a begun answer belongs to nobody who could leave it: a run that is
cancelled there would forget it. So it is held for a short time only.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextvars import copy_context

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.constants import TAG_NOSTREAM

from backends.chat.answer_text import AnswerText
from backends.reader import Passage, Piece, Thought

HELD_S = 1.0
"""How long a confirmed answer waits for its run to go on, which takes it milliseconds."""


class Speculation:
    """A begun answer; its task ends with the first piece."""

    def __init__(self, shown: Sequence[Passage], pieces: AsyncGenerator[Piece]) -> None:
        self.shown = shown
        """The documents in its prompt."""
        self.confirmed = False
        self._pieces = pieces
        context = copy_context()
        context.run(_unheard)
        self._first = asyncio.create_task(_first_of(pieces), context=context)

    async def answer(self, numbers: Mapping[int, int] | None) -> AsyncGenerator[Piece]:
        """The answer in pieces, from the first on; closing it ends the server's work.

        ``numbers`` gives what the numbers in its markers are to become, as in ``AnswerText``.

        Raises:
            LanguageModelUnavailable: the model did not answer, or stopped in the middle.
        """
        text = AnswerText(numbers=numbers)
        try:
            piece = await self._first
            while piece is not None:
                if isinstance(piece, Thought):
                    yield piece
                elif visible := text.feed(piece):
                    yield visible
                piece = await anext(self._pieces, None)
            if rest := text.finish():
                yield rest
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Leave it, wherever it is."""
        self._first.cancel()
        await asyncio.wait([self._first])
        if not self._first.cancelled():
            self._first.exception()  # whoever wanted to know has asked
        await self._pieces.aclose()


class Held:
    """Confirmed answers, by question, until their runs take them over."""

    def __init__(self) -> None:
        self._held: dict[str, list[Speculation]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def hold(self, question: str, speculation: Speculation) -> None:
        """Keep it for a moment."""
        speculation.confirmed = True
        self._held.setdefault(question, []).append(speculation)
        asyncio.get_running_loop().call_later(HELD_S, self._leave, question, speculation)

    def take(self, question: str, shown: Sequence[Passage]) -> Speculation | None:
        """One that was begun with these documents; whose of several same runs does not matter."""
        wanted = [passage["id"] for passage in shown]
        for speculation in self._held.get(question, []):
            if [passage["id"] for passage in speculation.shown] == wanted:
                self._remove(question, speculation)
                return speculation
        return None

    def _leave(self, question: str, speculation: Speculation) -> None:
        if self._remove(question, speculation):
            leaving = asyncio.create_task(speculation.aclose())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _remove(self, question: str, speculation: Speculation) -> bool:
        """Whether it was still held."""
        held = self._held.get(question, [])
        if speculation not in held:
            return False
        held.remove(speculation)
        if not held:
            del self._held[question]
        return True


@contextlib.asynccontextmanager
async def speculating(
    shown: Sequence[Passage], pieces: AsyncGenerator[Piece]
) -> AsyncIterator[Speculation]:
    """An answer beside the work of the block, left at its end unless it has been confirmed."""
    speculation = Speculation(shown, pieces)
    try:
        yield speculation
    finally:
        if not speculation.confirmed:
            await speculation.aclose()


async def _first_of(pieces: AsyncGenerator[Piece]) -> Piece | None:
    return await anext(pieces, None)


def _unheard() -> None:
    """LangGraph's "messages" stream is not to hear what may come to nothing."""
    config = var_child_runnable_config.get() or {}
    tags = [*(config.get("tags") or []), TAG_NOSTREAM]
    var_child_runnable_config.set({**config, "tags": tags})
