"""PDF, spreadsheets and lesser office documents, read by kreuzberg.

Only to be imported in the parser's process.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kreuzberg import (
    ExtractionConfig,
    ExtractionResult,
    KreuzbergError,
    PageConfig,
    extract_file_sync,
)

from errors import ParsingError
from indexer.documents import Format, ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly

_MAX_HEADED_PAGES = 2_000
"""Looking for headings takes about 5 ms a page, several times as long as reading it."""
_MAIN_PARTS = frozenset({"xl/workbook.xml", "xl/sharedStrings.xml", "content.xml", "meta.xml"})


def parse_pdf(path: Path) -> ParsedDocument:
    """Paragraphs with the pages they stand on, below the lines whose letters make them headings.

    Raises:
        ParsingError: it is damaged, encrypted, or holds no text.
    """
    result = _extract(path, ExtractionConfig(use_cache=False, pages=PageConfig(extract_pages=True)))
    contents = [(page["page_number"], page["content"]) for page in result.pages or []]
    if not any(content.strip() for _, content in contents):
        contents = [(1, result.content)]
    headings = _headings(path) if len(contents) <= _MAX_HEADED_PAGES else {}
    assembly = Assembly()
    for number, content in contents:
        assembly.page = number
        for paragraph, level in _paragraphs(content, headings.get(number, {})):
            if level:
                assembly.add_heading(level, paragraph)
            else:
                assembly.add(paragraph)
    document = assembly.document(_title(result) or path.stem, "pdf")
    if not document.blocks:
        raise ParsingError("no text was found in it: are its pages scanned images?")
    return document


def _headings(path: Path) -> dict[int, dict[str, int]]:
    """The ranks of a PDF's lines that are headings, by page."""
    config = ExtractionConfig(
        use_cache=False,
        include_document_structure=True,
        output_format="markdown",  # for plain text the library looks for no headings
    )
    result = _extract(path, config)
    found: dict[int, dict[str, int]] = {}
    for node in result.document["nodes"] if result.document else ():
        content = node["content"]
        if content["node_type"] == "heading":
            ranks = found.setdefault(node.get("page") or 0, {})
            ranks[" ".join(content["text"].split())] = content["level"]
    return found


def _paragraphs(content: str, headings: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Lines up to a blank one or a heading, with rank 0, and headings with theirs."""
    lines: list[str] = []
    for line in content.splitlines():
        level = headings.get(" ".join(line.split()), 0)
        if level or not line.strip():
            yield "\n".join(lines), 0
            lines = []
        if level:
            yield line, level
        elif line.strip():
            lines.append(line)
    yield "\n".join(lines), 0


def parse_spreadsheet(path: Path) -> ParsedDocument:
    """A table a sheet, under the sheet's name; its first row is the header.

    Raises:
        ParsingError: it is damaged, encrypted, or holds no text.
    """
    _check(path)
    result = _extract(path, ExtractionConfig(use_cache=False, output_format="plain"))
    names = result.metadata.get("sheet_names")
    assembly = Assembly()
    for table in result.tables:
        number = table.page_number
        if isinstance(names, list) and 0 < number <= len(names):
            assembly.add_heading(1, names[number - 1])
        assembly.add_rows([[_cell(value) for value in row] for row in table.cells])
    format_: Format = "ods" if path.suffix.lower() == ".ods" else "xlsx"
    return assembly.document(_title(result) or path.stem, format_)


def parse_office(path: Path, format_: Format) -> ParsedDocument:
    """Headings, paragraphs, list items and tables of a text document or an Outlook message.

    Raises:
        ParsingError: it is damaged or encrypted.
    """
    if format_ == "odt":
        _check(path)
    config = ExtractionConfig(
        use_cache=False, output_format="plain", include_document_structure=True
    )
    result = _extract(path, config)
    assembly = Assembly()
    for node in result.document["nodes"] if result.document else ():
        _add(node["content"], assembly)
    return assembly.document(_title(result) or path.stem, format_)


def _check(path: Path) -> None:
    """Refuses what the library would not: archives of hostile size and entities in their XML."""
    with Archive(path) as archive:
        archive.refuse_bombs()
        for name in _MAIN_PARTS & archive.names:
            archive.refuse_entities(name)


def _add(content: Mapping[str, Any], assembly: Assembly) -> None:
    kind, text = content["node_type"], content.get("text", "")
    if kind == "table":
        grid = content["grid"]
        rows = [[""] * grid["cols"] for _ in range(grid["rows"])]
        for cell in grid["cells"]:
            rows[cell["row"]][cell["col"]] = cell["content"]
        assembly.add_rows(rows)
    elif kind in ("heading", "title"):
        assembly.add_heading(content.get("level", 1), text)
    elif kind == "list_item":
        assembly.add_item(text)
    elif text:
        assembly.add(text, "code" if kind == "code" else "prose")


def _cell(value: str) -> str:
    """A cell's value; dates come with the time of midnight."""
    return value.removesuffix(" 00:00:00")


def _extract(path: Path, config: ExtractionConfig) -> ExtractionResult:
    try:
        return extract_file_sync(str(path), config=config)
    except KreuzbergError as exc:
        reason = " ".join(str(exc).split())[:300]
        if re.search(r"password|encrypt", reason, re.IGNORECASE):
            raise ParsingError("it is protected by a password: save it without one") from exc
        # The library repeats what kind of error it is at every level.
        reason = reason.rpartition(": ")[2]
        if re.search(r"exceeds limit", reason):
            raise ParsingError(f"it unpacks to too much: {reason}") from exc
        raise ParsingError(f"it is damaged, or no {path.suffix} file: {reason}") from exc


def _title(result: ExtractionResult) -> str:
    title = result.metadata.get("title")
    return " ".join(title.split()) if isinstance(title, str) else ""
