"""Office files that a library reads: what survives of their structure."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.documents import ParsedDocument
from indexer.parser_process import ParserProcess
from indexer.parsing import parse
from tests.office_samples import Cell, archive, xlsx
from tests.outlines import outline, pages
from tests.pdf_samples import pdf

_OPEN = "urn:oasis:names:tc:opendocument:xmlns"
OPEN_TEXT = (
    f'<office:document-content xmlns:office="{_OPEN}:office:1.0" xmlns:text="{_OPEN}:text:1.0">'
    '<office:body><office:text><text:h text:outline-level="1">R&amp;D</text:h>'
    "<text:p>AT&amp;T &lt;x&gt;</text:p>"
    '<text:h text:outline-level="2">Below</text:h><text:p>The end.</text:p>'
    "</office:text></office:body></office:document-content>"
)


@pytest.fixture(scope="module")
def process() -> Iterator[ParserProcess]:
    with ParserProcess() as one:
        yield one


def parsed(tmp_path: Path, process: ParserProcess, name: str, content: bytes) -> ParsedDocument:
    path = tmp_path / name
    path.write_bytes(content)
    return parse(path, process=process)


def test_a_sheet_is_a_table_under_its_name(tmp_path: Path, process: ParserProcess) -> None:
    sheets: dict[str, list[tuple[Cell, ...]]] = {
        "R&D": [("Region", "Sum", "Done"), ("North <x>", 12.5, True), ("South | West", 3, None)],
        "Empty": [],
        "Costs": [("Item", "Price"), ("Pen", 1)],
    }
    document = parsed(tmp_path, process, "a.xlsx", xlsx(sheets))
    assert document.format == "xlsx"
    assert outline(document) == [
        ("heading", "R&D", "R&D"),
        ("table", "R&D", "Region | Sum | Done\nNorth <x> | 12.5 | true\nSouth | West | 3"),
        ("heading", "Costs", "Costs"),
        ("table", "Costs", "Item | Price\nPen | 1"),
    ]


def test_large_letters_make_headings_of_a_pdf(tmp_path: Path, process: ParserProcess) -> None:
    body = "\n".join(["This is a line of the body and it goes on for a while"] * 6)
    document = parsed(tmp_path, process, "a.pdf", pdf(f"# Start\n{body}", f"# End\n{body}"))
    assert outline(document) == [
        ("heading", "Start", "Start"),
        ("prose", "Start", body),
        ("heading", "End", "End"),
        ("prose", "End", body),
    ]
    assert pages(document) == [1, 1, 2, 2]


def test_an_open_document_keeps_its_headings(tmp_path: Path, process: ParserProcess) -> None:
    kind = "application/vnd.oasis.opendocument.text"
    content = archive({"mimetype": kind, "content.xml": OPEN_TEXT})
    document = parsed(tmp_path, process, "a.odt", content)
    assert document.format == "odt"
    assert outline(document) == [
        ("heading", "R&D", "R&D"),
        ("prose", "R&D", "AT&T <x>"),
        ("heading", "R&D > Below", "Below"),
        ("prose", "R&D > Below", "The end."),
    ]


def test_rich_text_becomes_text(tmp_path: Path, process: ParserProcess) -> None:
    content = rb"{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 AT&T <x> caf\'e9\par\b Bold\b0  text\par}"
    document = parsed(tmp_path, process, "a.rtf", content)
    assert [piece for *_, piece in outline(document)] == ["AT&T <x> café", "Bold text"]
