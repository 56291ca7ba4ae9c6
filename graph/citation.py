"""Where a part of an answer stands, for programs and for people. Light to import."""

from typing_extensions import TypedDict


class Place(TypedDict):
    """Where something stands in the documents."""

    source: str
    title: str
    heading: str
    page: int | None
    start_line: int | None
    end_line: int | None


class Citation(Place):
    """Where a part of the answer stands in the documents."""

    marker: int
    """The number in the answer's text: ``[1]``."""
    id: str
    """The cited passage's id; it is one of the run's documents."""
    quote: str
    """A literal piece of the passage's text."""


def place(cited: Place) -> str:
    """Where a citation or a passage stands: ``docs/design.md, lines 3-9: The graph``."""
    where = cited["source"]
    if cited["page"]:
        where += f", page {cited['page']}"
    elif cited["start_line"]:
        first, last = cited["start_line"], cited["end_line"]
        where += f", line {first}" if first == last else f", lines {first}-{last}"
    heading = cited["heading"] or cited["title"]
    return f"{where}: {heading}" if heading else where
