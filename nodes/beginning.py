"""What a run starts with, whatever an earlier run on its thread has left."""

import time
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage

from backends.reader import Turn
from backends.tracing import current_trace_id
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagState
from nodes.conversation import Said, question_and_turns


def beginning(context: RagContext, asked: str) -> dict[str, Any]:
    """The state of a run that has done nothing yet, to be given by its first node."""
    return {
        "asked": asked,
        "queries": [],
        "rewrites": 0,
        "documents": [],
        "grades": {},
        "degraded": [],
        "language_model_down": False,
        "begun": time.monotonic(),
        "trace_id": current_trace_id(),
        "deadline": None if context.deadline_s is None else time.monotonic() + context.deadline_s,
    }


def question_of(state: RagState) -> tuple[str, list[Turn]]:
    """What a run is asked, and what was said before it.

    A message that nobody has answered is the question. What a thread remembers of earlier runs goes
    before what the messages say of them.

    Raises:
        QuestionError: the question cannot be taken.
    """
    remembered = state.get("conversation", [])
    messages = state.get("messages", [])
    asked = state.get("question")
    if not is_asked_by_message(messages) and not (messages and asked is None):
        return check_question(asked), remembered
    question, told = question_and_turns(
        Said("user" if message.type == "human" else "assistant", message.text)
        for message in messages
        if message.type in ("human", "ai")
    )
    return question, remembered or told


def is_asked_by_message(messages: Sequence[AnyMessage]) -> bool:
    """Whether the last message waits for an answer."""
    return bool(messages) and messages[-1].type == "human"
