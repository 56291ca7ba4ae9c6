"""How much of what was found and said goes into a prompt: as much as the model takes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from backends.reader import Passage, Turn
from errors import PromptTooLong
from nodes.prompts import block, spoken

T = TypeVar("T")
Count = Callable[[str], int]
"""How many tokens a text has."""

OVERHEAD_TOKENS = 500
"""What chat templates and the fixed parts of a prompt take, generously."""
CONVERSATION_TOKENS = 1_000
"""What earlier turns may take of a prompt: a follow-up refers to the last ones."""
_LEAST_TOKENS = 32
"""Less of a document than this is not worth its block."""


class Measured(Protocol):
    """A model that may tell how long its prompts can be, and how long a text is."""

    async def prompt_tokens(self) -> int | None: ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None: ...


async def fitting_passages(
    model: Measured, question: str, passages: Sequence[Passage]
) -> list[Passage]:
    """The passages that fit the model: by a generous estimate, or counted where that fails."""
    limit = await model.prompt_tokens()
    if limit is None:
        return list(passages)
    room = limit - OVERHEAD_TOKENS - estimated_tokens(question)
    shown = fitting(passages, room, estimated_tokens)
    if [p["text"] for p in shown] == [p["text"] for p in passages]:
        return shown
    texts = [p["text"] for p in passages]
    texts += [block(number, passage, b"") for number, passage in enumerate(passages, 1)]
    counts = await model.count_tokens(texts)
    if counts is None:
        return shown
    return fitting(passages, room, dict(zip(texts, counts, strict=True)).__getitem__)


async def fitting_turns(model: Measured, question: str, conversation: Sequence[Turn]) -> list[Turn]:
    """The last turns of a conversation, at least one, in as many tokens as they may take."""
    limit = await model.prompt_tokens()
    room = CONVERSATION_TOKENS
    if limit is not None:
        room = min(room, limit - OVERHEAD_TOKENS - estimated_tokens(question))
    texts = [spoken(turn) for turn in conversation]
    lengths = [estimated_tokens(text) for text in texts]
    if sum(lengths) > room:
        lengths = await model.count_tokens(texts) or lengths
    kept = 0
    for length in reversed(lengths):
        room -= length
        if room < 0 and kept:
            break
        kept += 1
    return list(conversation[len(conversation) - kept :])


def fitting(passages: Sequence[Passage], room: int | None, count: Count) -> list[Passage]:
    """The first passages whose blocks fit into ``room`` tokens, the last perhaps shortened.

    Without a limit all of them. There is always at least a piece of the first.
    """
    if room is None:
        return list(passages)
    kept: list[Passage] = []
    for number, passage in enumerate(passages, 1):
        needed = count(block(number, passage, b""))
        if needed > room:
            frame = needed - count(passage["text"])
            if not kept or room - frame >= _LEAST_TOKENS:
                kept.append(_cut(passage, max(room - frame, _LEAST_TOKENS), count))
            break
        kept.append(passage)
        room -= needed
    return kept


def estimated_tokens(text: str) -> int:
    """A generous estimate of a text's length in tokens, whatever the tokenizer.

    Three bytes of UTF-8 a token: English has about four characters to a token, languages without
    spaces about one, of three bytes.
    """
    return len(text.encode("utf-8", "surrogatepass")) // 3 + 1


async def halving(
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


def _cut(passage: Passage, tokens: int, count: Count) -> Passage:
    """The beginning of a passage, by its own average of bytes to a token."""
    raw = passage["text"].encode("utf-8", "surrogatepass")
    length = len(raw) * tokens // max(count(passage["text"]), 1)
    return Passage(**{**passage, "text": raw[:length].decode(errors="ignore")})
