"""A parsed document: its text, and where the pieces that belong together stand in it."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal, NamedTuple

BlockKind = Literal["heading", "prose", "table", "code"]
Format = Literal[
    "markdown",
    "text",
    "rst",
    "code",
    "data",
    "html",
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "odt",
    "odp",
    "ods",
    "rtf",
    "doc",
    "ppt",
    "msg",
    "epub",
    "eml",
    "notebook",
    "csv",
    "json",
    "jsonl",
]
"""What a file holds, whatever its suffix: a ``.docm`` is ``docx``, a ``.tsv`` is ``csv``, every
programming language is ``code``; ``data`` are other texts of which each line counts on its own,
such as YAML, XML and logs. The names are stored with the passages: people filter by them."""
Span = tuple[int, int]
"""Start and end of a piece of a text, in characters, the end exclusive."""


class Block(NamedTuple):
    """A paragraph, list item, table, heading, or piece of code."""

    start: int
    """In characters of the document's text."""
    end: int
    kind: BlockKind
    heading_path: tuple[str, ...] = ()
    """The headings above, from the outermost; a heading's own text is the last."""
    page: int | None = None
    """From 1, where the format has pages."""
    start_line: int | None = None
    """From 1, in the file, where the format has lines."""
    end_line: int | None = None
    """Inclusive."""


class ParsedDocument(NamedTuple):
    """What was read from a file. Blocks are in order, do not overlap and leave out only space."""

    title: str
    """From inside the document; the file's name without its suffix where it has none."""
    text: str
    """For text formats exactly what stands in the file, with ``\\n`` between lines."""
    blocks: list[Block]
    format: Format


class TextLines:
    """The lines of a text, numbered from 0, and the blocks that they make."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = array("q", [0])  # a file may consist of millions of line ends
        position = text.find("\n") + 1
        while position:
            self._starts.append(position)
            position = text.find("\n", position) + 1

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> str:
        """A line without its end."""
        return self.text[slice(*self.span(number))]

    def __iter__(self) -> Iterator[str]:
        return iter(self.text.split("\n"))

    def span(self, number: int) -> Span:
        """Where a line stands, without its end."""
        last = number + 1 == len(self._starts)
        return self._starts[number], len(self.text) if last else self._starts[number + 1] - 1

    def number(self, position: int) -> int:
        """The line that holds a character."""
        return bisect_right(self._starts, position) - 1

    def stretch(self, start: int, end: int, kind: BlockKind, path: tuple[str, ...]) -> Block:
        """The block of some characters, which may begin and end within lines."""
        return Block(start, end, kind, path, None, self.number(start) + 1, self.number(end) + 1)

    def block(
        self, first: int, end: int, kind: BlockKind, path: tuple[str, ...] = ()
    ) -> Block | None:
        """The block of the lines from ``first`` up to ``end``, blank ones at its edges left out."""
        while first < end and not self[first].strip():
            first += 1
        while end > first and not self[end - 1].strip():
            end -= 1
        if first >= end:
            return None
        last = self[end - 1].rstrip()
        stop = self._starts[end - 1] + len(last)
        return Block(self._starts[first], stop, kind, path, None, first + 1, end)
