"""What is read from a language model's replies, tolerantly: no grammar is to be trusted.

A reply may open with a thinking block, stand in a code fence, be cut short, or be a choice that
was not offered. What cannot be read is None, never an exception and never a guess.
"""

import math
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from errors import LanguageModelUnavailable

if TYPE_CHECKING:
    from langchain_core.outputs import ChatGenerationChunk

THINK, END_THINK = "<think>", "</think>"

# What models put around a word they were asked to reply with alone.
_DECORATION = " \t\r\n*_`\"'[({>#"


def without_thinking(text: str) -> str:
    """The reply after its thinking, also where the chat template opened the block itself."""
    _, _, after = text.rpartition(END_THINK)
    return after.partition(THINK)[0].strip()


def choice_probabilities(
    tokens: Iterable[tuple[str, float]], choices: Sequence[str]
) -> dict[str, float] | None:
    """How probable each choice is, from the likeliest first tokens and their logprobs.

    A choice may be spelt over several tokens ("y" + "es"), so a token counts for the one choice
    that it begins. The result sums to 1; None where no token begins a choice.
    """
    mass = dict.fromkeys(choices, 0.0)
    for token, logprob in dict(tokens).items():
        choice = _begun(token, choices)
        if choice is not None and not math.isnan(logprob):
            mass[choice] += math.exp(min(logprob, 0.0))
    total = sum(mass.values())
    if total <= 0:
        return None
    return {choice: value / total for choice, value in mass.items()}


def chosen(text: str, choices: Sequence[str]) -> str | None:
    """The choice that a reply names; None where it names none, or more than one."""
    words = re.findall(r"\w+", without_thinking(text).casefold())
    named = {choice for choice in choices if choice.casefold() in words}
    if not named and len(words) == 1:
        begun = _begun(words[0], choices)
        named = {begun} if begun else set()
    return named.pop() if len(named) == 1 else None


def _begun(token: str, choices: Sequence[str]) -> str | None:
    """The only choice that starts with the token."""
    start = token.strip(_DECORATION).casefold()
    begun = [choice for choice in choices if start and choice.casefold().startswith(start)]
    return begun[0] if len(begun) == 1 else None


class VisibleText:
    """The part of a streamed reply that a person may read, piece by piece.

    Thinking blocks are left out wherever they stand. A reply that begins with ``silent_on`` has
    no visible text at all (``silenced`` is then true): text is held back only while it may still
    become that word or a tag.
    """

    def __init__(self, silent_on: str = "") -> None:
        self.silenced = False
        self.thinking = False
        self.shown = False
        self._silent_on = silent_on
        self._held = ""
        self._beginning = ""

    def feed(self, piece: str) -> str:
        """What becomes readable with this piece, often the piece itself."""
        self._held += piece
        visible = ""
        while True:
            tag = END_THINK if self.thinking else THINK
            before, found, after = self._held.partition(tag)
            if not found:
                break
            visible += "" if self.thinking else before
            self.thinking = not self.thinking
            self._held = after
        free = len(self._held) - _overlap(self._held, tag)
        visible += "" if self.thinking else self._held[:free]
        self._held = self._held[free:]
        return self._unless_silenced(visible, last=False)

    def finish(self) -> str:
        """What was held back and turned out to be readable."""
        held = "" if self.thinking else self._held
        self._held = ""
        return self._unless_silenced(held, last=True)

    def _unless_silenced(self, text: str, *, last: bool) -> str:
        if self.silenced:
            return ""
        if self.shown:
            return text
        self._beginning += text
        word = self._beginning.lstrip(_DECORATION)
        if self._silent_on and word.startswith(self._silent_on):
            self.silenced = True
            return ""
        if not self._beginning.strip() or (self._silent_on.startswith(word) and not last):
            return ""
        self.shown = True
        return self._beginning.lstrip()


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)


async def visible_chunks(
    chunks: AsyncGenerator["ChatGenerationChunk"], *, silent_on: str
) -> AsyncGenerator["ChatGenerationChunk"]:
    """A model's chunks with readable text only.

    It stands inside the chat model, below LangChain's callbacks, so that whoever listens to the
    model's tokens hears what the reader's caller hears.

    Raises:
        LanguageModelUnavailable: the stream stopped in the middle, or nothing can be read.
    """
    text = VisibleText(silent_on)
    started, finished = False, ""
    async with aclosing(chunks):
        async for chunk in chunks:
            started = True
            finished = _finish_reason(chunk.generation_info) or finished
            yield _with_content(chunk, text.feed(str(chunk.message.content)))
            if finished and (rest := text.finish()):
                yield _with_content(chunk, rest, information=False)
    _check_end(text, finished, started=started)


def _check_end(text: VisibleText, finished: str, *, started: bool) -> None:
    """Raise unless the stream came to an end of its own, with something to read."""
    if not started:
        raise LanguageModelUnavailable(
            "The language model sent no reply at all: check that TANDEM_LLM__BASE_URLS names a "
            "chat server; with vLLM it ends in /v1."
        )
    if finished in ("", "abort", "error"):
        raise LanguageModelUnavailable(
            f"The language model stopped in the middle of its answer ({finished or 'cut off'}). "
            "Ask again; if it happens again, look at its server's log."
        )
    if not text.shown and not text.silenced:
        raise LanguageModelUnavailable(
            "The language model used all its tokens for thinking: raise "
            "TANDEM_LLM__MAX_ANSWER_TOKENS."
            if text.thinking
            else "The language model gave an empty answer. Ask again, or try another model."
        )


def _finish_reason(information: dict[str, Any] | None) -> str:
    """Why the reply ended, in OpenAI's or in Ollama's field; empty while it goes on."""
    info = information or {}
    return str(info.get("finish_reason") or info.get("done_reason") or "")


def _with_content(
    chunk: "ChatGenerationChunk", content: str, *, information: bool = True
) -> "ChatGenerationChunk":
    """The chunk with other text; without information it is an additional one."""
    if information and content == chunk.message.content:
        return chunk
    usage = {} if information else {"usage_metadata": None}
    return type(chunk)(
        message=chunk.message.model_copy(update={"content": content, **usage}),
        generation_info=chunk.generation_info if information else None,
    )
