"""reStructuredText: sections, literal blocks and tables with the lines they stand on.

Only the structure is read, by the rules of the specification, because the text is quoted as it
stands: nothing is included, evaluated or rendered.
Source: https://docutils.sourceforge.io/docs/ref/rst/restructuredtext.html
"""

import re
from collections.abc import Iterator

from indexer.documents import Block, BlockKind, ParsedDocument, TextLines

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{1,}\s*$")
_CODE_DIRECTIVE = re.compile(
    r"\.\.\s+(?:code|code-block|sourcecode|highlight|literalinclude|math|raw|parsed-literal|"
    r"productionlist|graphviz|doctest|testcode)::"
)
_TABLE = re.compile(r"\s*(?:\+[-=+]+\+\s*$|\|.*\|\s*$|=+(?:\s+=+)+\s*$)")
_ROLE = re.compile(r":[\w:+.-]+:`([^`<]+?)(?:\s*<[^`>]*>)?`")


def parse_restructured_text(text: str, *, name: str) -> ParsedDocument:
    """A block for each paragraph, table and literal block, under the titles above it."""
    lines = TextLines(text)
    blocks = list(_blocks(lines))
    title = next((block.heading_path[0] for block in blocks if block.heading_path), "")
    return ParsedDocument(title or name, text, blocks, "rst")


def _blocks(lines: TextLines) -> Iterator[Block]:
    styles: list[str] = []  # a section's depth is told by the order in which styles appear
    path: tuple[str, ...] = ()
    number = 0
    literal = False
    while number < len(lines):
        if _is_blank(lines, number):
            number += 1
            continue
        end, style, title = _title(lines, number)
        kind: BlockKind = "heading"
        if title:
            styles += [] if style in styles else [style]
            path = (*path[: styles.index(style)], title)
        else:
            end, kind = _body(lines, number, literal=literal)
        block = lines.block(number, end, kind, path)
        if block:
            yield block
            last = lines[end - 1].rstrip()
            literal = kind == "prose" and (
                last.endswith("::") or _CODE_DIRECTIVE.match(lines[number]) is not None
            )
        number = end


def _title(lines: TextLines, number: int) -> tuple[int, str, str]:
    """Where a section's title ends, its style and its text; an empty text where there is none."""
    over = _ADORNMENT.match(lines[number])
    if over and number + 2 < len(lines):
        title, under = lines[number + 1].strip(), _ADORNMENT.match(lines[number + 2])
        if title and under and under[1] == over[1] and not _ADORNMENT.match(title):
            return number + 3, over[1] * 2, _plain(title)
    if over or number + 1 >= len(lines) or lines[number][0].isspace():
        return number, "", ""
    title, under = lines[number].strip(), _ADORNMENT.match(lines[number + 1])
    if under and len(lines[number + 1].strip()) >= min(4, len(title)) and len(title) < 300:
        return number + 2, under[1], _plain(title)
    return number, "", ""


def _plain(title: str) -> str:
    title = _ROLE.sub(r"\1", title)
    return " ".join(re.sub(r"``|\*\*|[`*|]", "", title).split()) or title


def _body(lines: TextLines, number: int, *, literal: bool) -> tuple[int, BlockKind]:
    """The end and kind of what begins at a line that is not a title."""
    indented = lines[number][0].isspace()
    if indented and literal:
        return _indented_end(lines, number), "code"
    is_table = _TABLE.match(lines[number]) is not None
    end = number + 1
    while end < len(lines) and not _is_blank(lines, end):
        if not is_table and not indented and _title(lines, end)[2]:
            break
        end += 1
    return end, "table" if is_table else "prose"


def _indented_end(lines: TextLines, number: int) -> int:
    while number < len(lines) and (_is_blank(lines, number) or lines[number][0].isspace()):
        number += 1
    return number


def _is_blank(lines: TextLines, number: int) -> bool:
    return not lines[number].strip()
