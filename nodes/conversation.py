"""The conversation that a thread remembers: bounded, and trimmed to what a prompt has room for."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from backends.reader import Turn
from errors import QuestionError
from graph.question import check_question, readable

MAX_TURNS = 20
MAX_ANSWER_CHARS = 2_000
"""Of an earlier answer: a follow-up refers to what was talked about, not to its every word."""


class Said(NamedTuple):
    """A message of a conversation that its client keeps."""

    by: Literal["user", "assistant"]
    text: str


def continued(conversation: Sequence[Turn], turn: Turn) -> list[Turn]:
    """The conversation with one more turn; the oldest leave first."""
    kept = Turn(question=turn["question"], answer=turn["answer"][:MAX_ANSWER_CHARS])
    return [*conversation, kept][-MAX_TURNS:]


def question_and_turns(messages: Iterable[Said]) -> tuple[str, list[Turn]]:
    """The last message as the question, and what was said before it as turns.

    Raises:
        QuestionError: the last message is not the user's, or cannot be taken as a question.
    """
    said = list(messages)
    if not said or said[-1].by != "user":
        raise QuestionError("The last message must be the user's: it is the question.")
    turns: list[Turn] = []
    for by, words in said[:-1]:
        text = readable(words)[:MAX_ANSWER_CHARS]
        if by == "user":
            turns.append(Turn(question=text, answer=""))
        elif turns:  # an assistant's greeting answers nothing
            answer = turns[-1]["answer"] + text
            turns[-1] = Turn(question=turns[-1]["question"], answer=answer[:MAX_ANSWER_CHARS])
    turns = [turn for turn in turns if turn["question"]]
    return check_question(said[-1].text), turns[-MAX_TURNS:]
