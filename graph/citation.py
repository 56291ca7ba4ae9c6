"""Where a part of an answer stands, for programs and for people. Light to import."""

from typing_extensions import TypedDict


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
