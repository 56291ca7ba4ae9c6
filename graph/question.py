"""What counts as a question. Light to import: every entry point checks before it opens anything."""

import re

from errors import QuestionError

THREAD = r"[A-Za-z0-9_.-]{1,100}"
"""What names a conversation."""
MAX_QUESTION_CHARS = 8_000
"""Far above a question, far below what would strain a model's context."""


def check_thread(thread: str) -> str:
    """The name of a conversation.

    Raises:
        QuestionError: it is no name.
    """
    if not re.fullmatch(THREAD, thread):
        raise QuestionError(
            f"{thread[:100]!r} cannot name a conversation: use up to 100 letters, digits, dots, "
            "dashes and underscores."
        )
    return thread


def owned(thread: str, tenant: str) -> str:
    """The id under which a conversation is kept: the same name is another one for each tenant."""
    return f"{tenant}/{thread}"


def check_question(question: object) -> str:
    """The question without what no model or store can take: NULs and lone surrogates.

    Raises:
        QuestionError: it is not text, empty, or longer than ``MAX_QUESTION_CHARS``.
    """
    if not isinstance(question, str):
        raise QuestionError(f"The question must be text, not {type(question).__name__}.")
    text = readable(question)
    if not text:
        raise QuestionError("The question is empty. Ask in a sentence, such as: What is Tandem?")
    if len(text) > MAX_QUESTION_CHARS:
        raise QuestionError(
            f"The question has {len(text):,} characters; {MAX_QUESTION_CHARS:,} are allowed. "
            "Put long text into a file, index it, and ask about it."
        )
    return text


def readable(text: str) -> str:
    """A text without what no model or store can take: NULs, lone surrogates, space around it."""
    return text.encode("utf-8", "ignore").decode().replace("\0", "").strip()
