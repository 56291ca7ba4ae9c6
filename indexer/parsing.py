"""Files as documents: what kind a file is, and the parser that reads it.

Short plain text is read in this process. Everything else, where a damaged or hostile file can take
all memory or for ever, is read in another one that has limits.
"""

import re
from pathlib import Path
from typing import BinaryIO

from errors import ParsingError
from indexer.documents import Block, ParsedDocument
from indexer.formats.decoding import MARKS, decode
from indexer.parser_process import ParserProcess
from indexer.parsers import PLAIN_TEXT
from indexer.suffixes import Parser, format_of

__all__ = ["Block", "ParsedDocument", "parse"]

_START = 1024
"""Bytes within which a PDF says that it is one."""
_SHORT = 1_000_000
"""Bytes of text that any of its parsers reads in about a second."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_CELLS = 200_000
"""Cells in Markdown's tables: short rows are filled up, so there can be as many as the square of
the text's length."""


def parse(path: Path, *, process: ParserProcess | None = None) -> ParsedDocument:
    """The document in a file; one without blocks where the file is empty. Blocking.

    Args:
        path: a regular file.
        process: reads what is not short plain text; without one, such a file gets a process of its
            own, which takes about a third of a second to start.

    Raises:
        ParsingError: the file cannot be turned into text; the message says why.
        OSError: the file cannot be read.
    """
    return _encodable(_parsed(path, process))


def _parsed(path: Path, process: ParserProcess | None) -> ParsedDocument:
    format_ = format_of(path.name)
    with path.open("rb") as file:
        start = file.read(_START)
        if start in MARKS or (len(start) < _START and not start.strip()):
            return ParsedDocument(path.stem, "", [], "code" if format_ == "python" else format_)
        if start.lstrip()[:5] == b"%PDF-":
            format_ = "pdf"
        elif format_ == "pdf":
            raise ParsingError("it is not a PDF file, although its name says so")
        text = _short_text(start, file) if format_ in PLAIN_TEXT else None
    if text is not None and not _has_endless_tables(text, format_):
        return PLAIN_TEXT[format_](text, name=path.stem)
    if process is not None:
        return process.parse(path, format_)
    with ParserProcess() as own:
        return own.parse(path, format_)


def _encodable(document: ParsedDocument) -> ParsedDocument:
    """The document without halves of characters, which names of files and escapes in JSON may hold
    and which no model, store or answer takes."""
    try:
        document.text.encode()
        document.title.encode()
    except UnicodeEncodeError:
        blocks = [
            block._replace(heading_path=tuple(map(_mended, block.heading_path)))
            for block in document.blocks
        ]
        title, text = _mended(document.title), _mended(document.text)
        return document._replace(title=title, text=text, blocks=blocks)
    return document


def _mended(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _short_text(start: bytes, file: BinaryIO) -> str | None:
    """The text of a file whose beginning was read; None where there is much of it."""
    data = start + file.read(_SHORT)
    return decode(data) if len(data) <= _SHORT else None


def _has_endless_tables(text: str, format_: Parser) -> bool:
    if format_ != "markdown":
        return False
    widest = max(line.count("|") for line in text.split("\n"))
    return widest * text.count("\n") > _MAX_CELLS
