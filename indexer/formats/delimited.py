"""Tables in text, CSV and TSV: the lines as they stand, the first row as the header of the rest."""

import csv
from collections import Counter

from indexer.documents import Block, ParsedDocument, TextLines
from indexer.formats.plain_text import groups

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARS = 100_000


def parse_delimited(text: str, *, name: str) -> ParsedDocument:
    """A table from its header on; remarks that stand before the header are paragraphs.

    The text stays literal, so a quoted cell may still run over several lines.

    Args:
        name: the title.
    """
    lines = TextLines(text)
    header = _header(lines)
    blocks: list[Block | None] = [
        lines.block(first, min(end, header), "prose") for first, end in groups(lines, 0, header)
    ]
    blocks.append(lines.block(header, len(lines), "table"))
    return ParsedDocument(name, text, [block for block in blocks if block], "csv")


def _header(lines: TextLines) -> int:
    """The first line with as many cells as most lines have, or whose last cell goes on in the next
    line; the first one that is not blank where no delimiter is found."""
    sample = _sample(lines)
    delimiter, count = _shape([line for _, line in sample])
    for number, line in sample:
        goes_on = line.count('"') % 2 == 1
        if not delimiter or goes_on or _cells(line, delimiter) == count:
            return number
    return sample[0][0] if sample else 0


def _sample(lines: TextLines) -> list[tuple[int, str]]:
    """The first lines that hold anything."""
    sample: list[tuple[int, str]] = []
    number = chars = 0
    while number < len(lines) and len(sample) < _SAMPLE_ROWS and chars < _SAMPLE_CHARS:
        start, end = lines.span(number)
        line = lines.text[start : min(end, start + _SAMPLE_CHARS)]
        if line.strip():
            sample.append((number, line))
            chars += len(line)
        number += 1
    return sample


def _shape(sample: list[str]) -> tuple[str, int]:
    """The delimiter by which most lines have the same number of cells, and that number."""
    best = ("", 0, 0)
    for delimiter in _DELIMITERS:
        counts = Counter(_cells(line, delimiter) for line in sample if delimiter in line)
        for cells, lines in counts.most_common(1):
            if (lines, cells) > (best[2], best[1]):
                best = (delimiter, cells, lines)
    return best[0], best[1]


def _cells(line: str, delimiter: str) -> int:
    try:
        [row] = csv.reader([line], delimiter=delimiter)
    except (csv.Error, ValueError):  # a cell larger than the module allows; a bare return
        return line.count(delimiter) + 1
    return len(row)
