"""The conversation that a thread remembers: bounded, and trimmed to what a prompt has room for."""

from collections.abc import Sequence

from backends.reader import Turn

MAX_TURNS = 20
MAX_ANSWER_CHARS = 2_000
"""Of an earlier answer: a follow-up refers to what was talked about, not to its every word."""


def continued(conversation: Sequence[Turn], turn: Turn) -> list[Turn]:
    """The conversation with one more turn; the oldest leave first."""
    kept = Turn(question=turn["question"], answer=turn["answer"][:MAX_ANSWER_CHARS])
    return [*conversation, kept][-MAX_TURNS:]
