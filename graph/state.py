"""What a run takes, what it carries from node to node, and what it returns."""

from typing import Annotated, Literal

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict

from backends.reader import Passage
from errors import QuestionError

Status = Literal["answered", "not_found", "degraded"]

MAX_QUESTION_CHARS = 8_000
"""Far above a question, far below what would strain a model's context."""


class Citation(TypedDict):
    """Where a part of the answer stands in the documents."""

    marker: int
    """The number in the answer's text: ``[1]``."""
    id: str
    """The cited passage's id; it is one of the run's documents."""
    source: str
    title: str
    heading: str
    page: int | None
    start_line: int | None
    end_line: int | None
    quote: str
    """A literal piece of the passage's text."""


def place(citation: Citation) -> str:
    """Where a citation stands: ``docs/design.md, lines 3-9: The graph``."""
    where = citation["source"]
    if citation["page"]:
        where += f", page {citation['page']}"
    elif citation["start_line"]:
        first, last = citation["start_line"], citation["end_line"]
        where += f", line {first}" if first == last else f", lines {first}-{last}"
    heading = citation["heading"] or citation["title"]
    return f"{where}: {heading}" if heading else where


class RagInput(TypedDict):
    """What a run takes."""

    question: str


class RagOutput(TypedDict):
    """What a run returns."""

    question: str
    answer: str
    citations: list[Citation]
    documents: list[Passage]
    """The passages that the answer was made from, best first."""
    status: Status
    reader: str
    """Who answered: ``extractive`` or the model's id."""
    notice: str
    """What a person should know about this answer, such as why it is degraded; else empty."""
    queries: list[str]
    """The searches made, in order."""


class RagState(RagOutput):
    """What the nodes share. On a thread it outlives the run, so ``retrieve`` begins it anew."""

    query: Annotated[str, EphemeralValue]
    """The search to make next; empty when there is none left to try.

    Only the step after the rewriting sees it, so that no run searches for an earlier run's query.
    """
    candidates: list[Passage]
    """What the last search found."""
    grades: dict[str, float | None]
    """Every grade given in this run, by passage id: a passage is graded once."""
    degraded: list[str]
    """Why this run lacks something it should have, in the order it happened."""
    language_model_down: bool
    """The language model did not answer in this run: it is not asked again."""
    deadline: float | None
    """On ``time.monotonic``: no search is begun after it."""


def check_question(question: object) -> str:
    """The question without what no model or store can take: NULs and lone surrogates.

    Raises:
        QuestionError: it is not text, empty, or longer than ``MAX_QUESTION_CHARS``.
    """
    if not isinstance(question, str):
        raise QuestionError(f"The question must be text, not {type(question).__name__}.")
    text = question.encode("utf-8", "ignore").decode().replace("\0", "").strip()
    if not text:
        raise QuestionError("The question is empty. Ask in a sentence, such as: What is Tandem?")
    if len(text) > MAX_QUESTION_CHARS:
        raise QuestionError(
            f"The question has {len(text):,} characters; {MAX_QUESTION_CHARS:,} are allowed. "
            "Put long text into a file, index it, and ask about it."
        )
    return text
