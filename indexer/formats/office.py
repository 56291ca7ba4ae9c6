"""PDF, spreadsheets and lesser office documents, read by kreuzberg.

Only to be imported in the parser's process.
"""

import re
from collections.abc import Mapping
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
from indexer.documents import Block, Format, ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly

_MAIN_PARTS = frozenset({"xl/workbook.xml", "xl/sharedStrings.xml", "content.xml", "meta.xml"})


def parse_pdf(path: Path) -> ParsedDocument:
    """Paragraphs with the pages they stand on.

    Raises:
        ParsingError: it is damaged, encrypted, or holds no text.
    """
    result = _extract(path, ExtractionConfig(use_cache=False, pages=PageConfig(extract_pages=True)))
    pages = [(page["page_number"], page["content"]) for page in result.pages or []]
    if not any(content.strip() for _, content in pages):
        pages = [(1, result.content)]
    texts: list[str] = []
    size = 0
    blocks: list[Block] = []
    for number, content in pages:
        for paragraph in re.split(r"\n\s*\n", content.replace("\r\n", "\n")):
            if stripped := paragraph.strip():
                blocks.append(Block(size, size + len(stripped), "prose", (), number))
                texts.append(stripped)
                size += len(stripped) + 2
    if not blocks:
        raise ParsingError("no text was found in it: are its pages scanned images?")
    return ParsedDocument(_title(result) or path.stem, "\n\n".join(texts), blocks, "pdf")


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
