"""Markdown: blocks with the lines they stand on."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from indexer.documents import Block, BlockKind, ParsedDocument, TextLines

_KINDS: dict[str, BlockKind] = {"fence": "code", "code_block": "code", "table_open": "table"}
_LISTS = ("bullet_list_open", "ordered_list_open")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*([\"']?)(\S.*?)\1[ \t]*$", re.MULTILINE)
_MAX_FRONT_MATTER = 20_000


class Piece(NamedTuple):
    """Lines that belong together; numbered from 0, the end exclusive."""

    first: int
    end: int
    kind: BlockKind
    level: int = 0
    """Of a heading, from 1."""
    heading: str = ""


def parse_markdown(text: str, *, name: str) -> ParsedDocument:
    """Every top-level block; a list is a block an item, front matter is one of code.

    Args:
        name: the title of a document without one.
    """
    lines = TextLines(text)
    front, title = _front_matter(text)
    # Blank lines instead of front matter keep the numbers of the lines.
    body = "\n" * front + text[lines.span(front)[0] :] if 0 < front < len(lines) else text
    tokens = _parser().parse(body) if front < len(lines) else []
    pieces = list(_filled(_pieces(tokens), front, len(lines)))
    if front:
        pieces.insert(0, Piece(0, front, "code"))
    title = title or next((p.heading for p in pieces if p.level == 1 and p.heading), "")
    root = (title,) if title and not any(piece.level == 1 for piece in pieces) else ()
    return ParsedDocument(title or name, text, list(_blocks(lines, pieces, root)), "markdown")


def read_markdown(text: str) -> Iterator[tuple[Piece, str]]:
    """The pieces of a text that is a part of something, without front matter."""
    lines = TextLines(text)
    for piece in _filled(_pieces(_parser().parse(text)), 0, len(lines)):
        yield piece, text[lines.span(piece.first)[0] : lines.span(piece.end - 1)[1]]


@cache
def _parser() -> MarkdownIt:
    """The block structure only: what stands inside a paragraph is quoted, not rendered."""
    return MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"], True)


def _front_matter(text: str) -> tuple[int, str]:
    """The number of its lines and the title it gives, as far as they exist."""
    if not text.startswith("---"):
        return 0, ""
    match = _FRONT_MATTER.match(text[:_MAX_FRONT_MATTER])
    if match is None:
        return 0, ""
    title = _FRONT_TITLE.search(match[1] or "")
    count = match.group().count("\n") + (not match.group().endswith("\n"))
    return count, title[2] if title else ""


def _pieces(tokens: list[Token]) -> Iterator[Piece]:
    within_list = False
    for index, token in enumerate(tokens):
        if token.level == 0:
            within_list = token.type in _LISTS
        is_item = token.level == 1 and within_list and token.type == "list_item_open"
        if token.map is None or not (is_item or (token.level == 0 and not within_list)):
            continue
        first, end = token.map
        if token.type == "heading_open":
            heading = _plain(tokens[index + 1].content)
            yield Piece(first, end, "heading", int(token.tag[1:]), heading)
        else:
            yield Piece(first, end, _KINDS.get(token.type, "prose"))


def _plain(heading: str) -> str:
    """A heading as a reader sees it, without marks."""
    heading = re.sub(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", "", heading)
    heading = re.sub(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])?", r"\1", heading)
    heading = re.sub(r"\s*\{#[^{}]*\}\s*$", "", heading)
    heading = re.sub(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", "", heading)
    return " ".join(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", heading).split())


def _filled(pieces: Iterator[Piece], first: int, end: int) -> Iterator[Piece]:
    """The pieces and what stands between them, such as definitions of links."""
    for piece in pieces:
        if piece.first > first:
            yield Piece(first, piece.first, "prose")
        yield piece
        first = max(first, piece.end)
    if first < end:
        yield Piece(first, end, "prose")


def _blocks(lines: TextLines, pieces: list[Piece], root: tuple[str, ...]) -> Iterator[Block]:
    open_headings: list[tuple[int, str]] = []
    path = root
    for piece in pieces:
        if piece.level:
            open_headings = [(level, text) for level, text in open_headings if level < piece.level]
            if piece.heading:
                open_headings.append((piece.level, piece.heading))
            path = (*root, *(text for _, text in open_headings))
        block = lines.block(piece.first, piece.end, piece.kind, path)
        if block:
            yield block
