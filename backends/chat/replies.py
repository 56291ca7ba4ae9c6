"""What is read from a language model's replies, tolerantly: no grammar is to be trusted.

A reply may open with a thinking block, stand in a code fence, be cut short, or be a choice that
was not offered. What cannot be read is None, never an exception and never a guess.
"""

import math
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from backends.chat.answer_text import DECORATION, END_THINK, THINK, AnswerText
from errors import LanguageModelUnavailable

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk

_THOUGHT = "reasoning_content"
"""Where LangChain's chat models put what a model thinks: in a message's additional fields."""


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
    start = token.strip(DECORATION).casefold()
    begun = [choice for choice in choices if start and choice.casefold().startswith(start)]
    return begun[0] if len(begun) == 1 else None


async def visible_chunks(
    chunks: AsyncGenerator["ChatGenerationChunk"], text: AnswerText
) -> AsyncGenerator["ChatGenerationChunk"]:
    """A LangChain chat model's chunks with readable text only, and thinking where LangChain has it.

    It stands inside the chat model, below LangChain's callbacks, so that whoever listens to the
    model's tokens hears what the reader's caller hears.

    Raises:
        LanguageModelUnavailable: the stream stopped in the middle, or nothing can be read.
    """
    started, finished = False, ""
    async with aclosing(chunks):
        async for chunk in chunks:
            started = True
            finished = _finish_reason(chunk.generation_info) or finished
            if thought := thought_of(chunk.message):
                text.thinks_apart()
                text.think(thought)
            visible = text.feed(str(chunk.message.content))
            yield _with_content(chunk, visible, text.take_thought())
            check_progress(text)
            if finished and (rest := text.finish(cut=finished == "length")):
                yield _with_content(chunk, rest, information=False)
    check_end(text, finished, started=started)


def check_progress(text: AnswerText) -> None:
    """Raise when the reply will not come to anything any more."""
    if text.is_endless:
        raise LanguageModelUnavailable(
            "The language model gives nothing but white space. Ask again, or try another model."
        )


def check_end(text: AnswerText, finished: str, *, started: bool) -> None:
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
            if text.thinking or text.apart or finished == "length"
            else "The language model gave an empty answer. Ask again, or try another model."
        )


def _finish_reason(information: dict[str, Any] | None) -> str:
    """Why the reply ended, in OpenAI's or in Ollama's field; empty while it goes on."""
    info = information or {}
    return str(info.get("finish_reason") or info.get("done_reason") or "")


def thought_of(message: "BaseMessage") -> str:
    """What a message of LangChain's holds of the model's thinking."""
    return str(message.additional_kwargs.get(_THOUGHT) or "")


def _with_content(
    chunk: "ChatGenerationChunk", content: str, thought: str = "", *, information: bool = True
) -> "ChatGenerationChunk":
    """The chunk with other text; without information it is an additional one."""
    if information and (content, thought) == (chunk.message.content, thought_of(chunk.message)):
        return chunk
    changes: dict[str, Any] = {} if information else {"usage_metadata": None}
    others = {k: v for k, v in chunk.message.additional_kwargs.items() if k != _THOUGHT}
    changes["additional_kwargs"] = {**others, _THOUGHT: thought} if thought else others
    return type(chunk)(
        message=chunk.message.model_copy(update={"content": content, **changes}),
        generation_info=chunk.generation_info if information else None,
    )
