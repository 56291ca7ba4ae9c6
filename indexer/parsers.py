"""The parser of each format, as the parser's own process uses them.

All but those of plain text are imported when they are needed: most take longer to load than to run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from errors import ParsingError
from indexer.documents import Format, ParsedDocument
from indexer.formats.decoding import decode
from indexer.formats.delimited import parse_delimited
from indexer.formats.markdown import parse_markdown
from indexer.formats.plain_text import parse_data, parse_plain_text
from indexer.formats.source_code import parse_source_code
from indexer.formats.structured_data import parse_json_lines
from indexer.suffixes import Parser


class TextParser(Protocol):
    """Makes a document of a text; ``name`` is the title where it has none."""

    def __call__(self, text: str, *, name: str) -> ParsedDocument: ...


PLAIN_TEXT: Mapping[Parser, TextParser] = {
    "markdown": parse_markdown,
    "text": parse_plain_text,
    "code": parse_source_code,
    "data": parse_data,
    "csv": parse_delimited,
    "jsonl": parse_json_lines,
}
"""Parsers that open nothing, and take a time that grows with the text's length and no more."""


def parse_as(path: Path, format_: Parser) -> ParsedDocument:
    """The document in a file, empty where the file holds only space.

    Raises:
        ParsingError: it cannot be read, or holds no text.
    """
    document = _parsed(path, format_)
    if not document.blocks and not _is_blank(path):
        raise ParsingError("no text was found in it")
    return document


def _parsed(path: Path, format_: Parser) -> ParsedDocument:
    match format_:
        case "docx":
            from indexer.formats.word import parse_word

            return parse_word(path)
        case "pptx":
            from indexer.formats.presentation import parse_presentation

            return parse_presentation(path)
        case "odp":
            from indexer.formats.open_presentation import parse_open_presentation

            return parse_open_presentation(path)
        case "epub":
            from indexer.formats.book import parse_book

            return parse_book(path)
        case "eml":
            from indexer.formats.mail import parse_mail

            return parse_mail(path)
        case "pdf" | "xlsx" | "ods" | "odt" | "rtf" | "doc" | "ppt" | "msg":
            return _parsed_by_library(path, format_)
    return _parsed_text(path.read_bytes(), format_, path.stem)


def _parsed_by_library(path: Path, format_: Format) -> ParsedDocument:
    from indexer.formats.office import parse_office, parse_pdf, parse_spreadsheet

    if format_ == "pdf":
        return parse_pdf(path)
    if format_ in ("xlsx", "ods"):
        return parse_spreadsheet(path)
    return parse_office(path, format_)


def _parsed_text(data: bytes, format_: Parser, name: str) -> ParsedDocument:
    match format_:
        case "html":
            from indexer.formats.web_page import parse_web_page

            return parse_web_page(data, name=name)
        case "rst":
            from indexer.formats.restructured_text import parse_restructured_text

            return parse_restructured_text(decode(data), name=name)
        case "json":
            from indexer.formats.structured_data import parse_json

            return parse_json(decode(data), name=name)
        case "notebook":
            from indexer.formats.notebook import parse_notebook

            return parse_notebook(decode(data), name=name)
        case "python":
            from indexer.formats.source_code import parse_python

            return parse_python(decode(data), name=name)
    return PLAIN_TEXT[format_](decode(data), name=name)


def _is_blank(path: Path) -> bool:
    try:
        return not decode(path.read_bytes()).strip()
    except ParsingError:  # it is binary
        return False
