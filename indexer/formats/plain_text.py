"""Plain text: paragraphs; and data that is text: lines."""

import re

from indexer.documents import Block, ParsedDocument, TextLines

_WRAPPED = 200
"""A line longer than this, in characters, was not wrapped by hand: it is a paragraph itself."""
_MAX_TITLE = 100


def parse_plain_text(text: str, *, name: str) -> ParsedDocument:
    """Paragraphs are parted by blank lines, or are a line each where lines are long.

    Args:
        name: the title of a document without one.
    """
    lines = TextLines(text)
    blocks = []
    for first, end in groups(lines, 0, len(lines)):
        if any(len(lines[number]) > _WRAPPED for number in range(first, end)):
            ranges = [(number, number + 1) for number in range(first, end)]
        else:
            ranges = [(first, end)]
        blocks += [block for lines_ in ranges if (block := lines.block(*lines_, "prose"))]
    title = _title(text, blocks)
    path = (title,) if title else ()
    blocks = [block._replace(heading_path=path) for block in blocks]
    return ParsedDocument(title or name, text, blocks, "text")


def parse_data(text: str, *, name: str) -> ParsedDocument:
    """Text of which every line counts on its own: tables, logs, configuration."""
    lines = TextLines(text)
    blocks = [lines.block(first, end, "code") for first, end in groups(lines, 0, len(lines))]
    return ParsedDocument(name, text, [block for block in blocks if block], "data")


def groups(lines: TextLines, first: int, end: int) -> list[tuple[int, int]]:
    """Runs of lines that are not blank, among those from ``first`` up to ``end``."""
    found: list[tuple[int, int]] = []
    begun = None
    for number in range(first, end):
        if lines[number].strip():
            begun = number if begun is None else begun
        elif begun is not None:
            found.append((begun, number))
            begun = None
    return found if begun is None else [*found, (begun, end)]


def _title(text: str, blocks: list[Block]) -> str:
    """A short first line that stands alone and is no sentence."""
    if len(blocks) < 2 or blocks[0].end - blocks[0].start > _MAX_TITLE:
        return ""
    first = text[blocks[0].start : blocks[0].end]
    is_title = "\n" not in first and re.search(r"\w", first) and not re.search(r"[.!?:;,]$", first)
    return " ".join(first.split()) if is_title else ""
