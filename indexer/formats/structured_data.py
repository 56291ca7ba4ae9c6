"""JSON: the text as it stands, cut along its structure.

Only brackets, strings and commas are looked at, without recursion and in one pass a level, so that
no depth or length does harm and text that is not quite JSON (comments, trailing commas) will do.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from indexer.documents import ParsedDocument, TextLines
from indexer.formats.plain_text import parse_data

_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'  # a string, or one that is never closed
    r"|'(?:[^'\\\n]++|\\.)*+'?"  # JSON5 has these
    r"|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)"  # so have its comments
    r"|[\[\]{},:]",
    re.DOTALL,
)
_WHOLE = 400
"""Characters up to which an object or array is one piece."""
_SMALL = 100
"""Characters below which neighbours share a piece: there may be millions of numbers."""
_MAX_DEPTH = 6
_MAX_KEY = 80
_SAMPLE = 1_000_000
Path = tuple[str, ...]
"""The keys that lead to a place, from the outermost."""


class _Item(NamedTuple):
    """A member of an object or an item of an array."""

    start: int
    end: int
    key: str
    """Empty in an array."""
    bracket: int
    """Where the bracket of its value stands; -1 where the value is none."""


def parse_json(text: str, *, name: str) -> ParsedDocument:
    """A block for each object and array that is not large, under the keys that lead to it.

    Args:
        name: the title.
    """
    if _is_json_lines(text):
        return parse_json_lines(text, name=name)
    lines = TextLines(text)
    cuts = _cuts(text)
    if len(cuts) < 2:
        return parse_data(text, name=name)._replace(format="json")
    blocks = []
    for (start, path), (end, _) in pairwise([*cuts, (len(text), ())]):
        piece = text[start:end]
        if not piece.strip():
            continue
        start += len(piece) - len(piece.lstrip())
        blocks.append(lines.stretch(start, start + len(piece.strip()), "code", path))
    return ParsedDocument(name, text, blocks, "json")


def parse_json_lines(text: str, *, name: str) -> ParsedDocument:
    """A block a record, which is a line."""
    lines = TextLines(text)
    blocks = (lines.block(number, number + 1, "code") for number in range(len(lines)))
    return ParsedDocument(name, text, [block for block in blocks if block], "jsonl")


def _cuts(text: str) -> list[tuple[int, Path]]:
    """Where pieces begin, in order, and the keys that lead to them."""
    cuts: list[tuple[int, Path]] = [(0, ())]
    containers: list[tuple[Iterator[_Item], Path]] = [(_items(text, _first_bracket(text)), ())]
    while containers:
        items, path = containers[-1]
        item = next(items, None)
        if item is None:
            containers.pop()
            continue
        is_large = item.end - item.start > _WHOLE and item.bracket >= 0
        descends = is_large and len(containers) < _MAX_DEPTH
        inner = (*path, item.key[:_MAX_KEY]) if descends and item.key else path
        if inner != cuts[-1][1] or item.start - cuts[-1][0] >= _SMALL:
            cuts.append((item.start, inner))
        if descends:
            containers.append((_items(text, item.bracket), inner))
    return cuts


def _first_bracket(text: str) -> int:
    """Where the outermost object or array begins; the end of the text where there is none."""
    tokens = (match for match in _TOKEN.finditer(text) if text[match.start()] != "/")
    first = next(tokens, None)
    return first.start() if first and first.group() in "[{" else len(text)


def _items(text: str, bracket: int) -> Iterator[_Item]:
    """What an object or array holds, as far as it goes."""
    depth = 0
    start, key, last, value = bracket + 1, "", "", -1
    for match in _TOKEN.finditer(text, bracket):
        mark = match.group()
        if mark in "[{":
            value = match.start() if depth == 1 and value < 0 else value
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                yield _Item(start, match.start(), key, value)
                return
        elif depth != 1:
            continue
        elif mark == ",":
            yield _Item(start, match.start(), key, value)
            start, key, last, value = match.end(), "", "", -1
        elif mark == ":":
            key = last
        elif mark[0] != "/":
            last = mark[1:-1]
    yield _Item(start, len(text), key, value)


def _is_json_lines(text: str) -> bool:
    """Whether the first line is a whole object or array and another one follows."""
    first, _, rest = text[:_SAMPLE].lstrip().partition("\n")
    depth = sum(
        (match.group() in "[{") - (match.group() in "]}") for match in _TOKEN.finditer(first)
    )
    return depth == 0 and first[:1] in ("[", "{") and rest.lstrip()[:1] == first[:1]
