"""What a run takes, what it carries from node to node, and what it returns."""

from typing import Literal

from typing_extensions import TypedDict

from backends.reader import Passage

Status = Literal["answered", "not_found", "degraded"]


class Citation(TypedDict):
    """Where a part of the answer stands in the documents."""

    marker: int
    """The number in the answer's text, ``[1]``."""
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


class RagInput(TypedDict):
    """What a run takes."""

    question: str


class RagOutput(TypedDict):
    """What a run returns."""

    question: str
    answer: str
    citations: list[Citation]
    documents: list[Passage]
    status: Status
    reader: str
    """Who answered: ``extractive`` or the model's id."""
    notice: str
    """What a person should know about this answer, such as why it is degraded; else empty."""
    queries: list[str]
    """The searches made, in order."""


class RagState(RagOutput):
    """What the nodes share."""

    query: str
    """The search to make next."""
    candidates: list[Passage]
    """What the last search found, graded or not."""
    grades: dict[str, float | None]
    """Every grade given in this run, by passage id: a passage is graded once."""
    degraded: list[str]
    """Why this run does not have everything it should, in the order it happened."""
