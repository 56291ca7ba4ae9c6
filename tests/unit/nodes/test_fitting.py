"""As much goes into a prompt as the model takes, by its own count where it tells."""

from collections.abc import Sequence

import pytest

from backends.reader import Turn
from nodes.fitting import (
    CONVERSATION_TOKENS,
    OVERHEAD_TOKENS,
    estimated_tokens,
    fitting,
    fitting_turns,
)
from nodes.prompts import answer_prompt, shared_beginning
from tests.fakes import passage

FOUND = [passage("The sky is blue."), passage("Grass is green.")]


class Counting:
    """A model that tells the length of its prompts, and counts words where it counts at all."""

    def __init__(self, limit: int | None = None, *, counts: bool = True) -> None:
        self.limit = limit
        self.counts = counts

    async def prompt_tokens(self) -> int | None:
        return self.limit

    async def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        return [len(text.split()) for text in texts] if self.counts else None


def turns(count: int, words: int) -> list[Turn]:
    return [Turn(question=f"Question {n}?", answer="word " * words) for n in range(count)]


def test_without_a_limit_everything_fits() -> None:
    assert fitting(FOUND, None, estimated_tokens) == FOUND


def test_the_last_passages_are_dropped_and_the_first_is_never() -> None:
    many = [passage("word " * 300) for _ in range(20)]
    kept = fitting(many, 2000 - OVERHEAD_TOKENS, estimated_tokens)
    assert 1 < len(kept) < 20
    (_, prompt) = answer_prompt(shared_beginning("Why?", kept, b"secret"))[1]
    assert estimated_tokens(prompt) <= 2000 + 100
    (only,) = fitting(many, 10, estimated_tokens)
    assert many[0]["text"].startswith(only["text"])
    assert 0 < len(only["text"]) < len(many[0]["text"])


def test_a_shortened_passage_ends_at_a_whole_character() -> None:
    (kept,) = fitting([passage("日本語" * 2000)], 500, estimated_tokens)
    assert "日本語日本語".startswith(kept["text"][:6])
    assert "\ufffd" not in kept["text"]


def test_real_counts_let_more_in_than_the_estimate() -> None:
    many = [passage("word " * 300) for _ in range(20)]
    estimated = fitting(many, 2000, estimated_tokens)
    counted = fitting(many, 2000, lambda text: len(text.split()) + 1)
    assert len(counted) > len(estimated)


async def test_the_last_turns_are_kept_as_far_as_they_fit() -> None:
    said = turns(20, 100)
    kept = await fitting_turns(Counting(counts=False), "And?", said)
    assert kept == said[-len(kept) :]
    assert 1 < len(kept) < 20


async def test_turns_are_counted_in_the_models_own_tokens_where_it_tells() -> None:
    said = turns(20, 100)
    estimated = await fitting_turns(Counting(counts=False), "And?", said)
    counted = await fitting_turns(Counting(), "And?", said)
    assert len(counted) == CONVERSATION_TOKENS // 104 > len(estimated)


@pytest.mark.parametrize("limit", [800, 10])
async def test_a_small_model_gets_fewer_turns_and_always_the_last(limit: int) -> None:
    said = turns(20, 100)
    kept = await fitting_turns(Counting(limit), "And?", said)
    assert kept == said[-max(1, (limit - OVERHEAD_TOKENS) // 104) :]


async def test_a_short_conversation_is_kept_whole_and_not_counted() -> None:
    said = turns(3, 5)
    assert await fitting_turns(Counting(), "And?", said) == said
    assert await fitting_turns(Counting(), "And?", []) == []
