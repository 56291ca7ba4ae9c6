"""E-books: chapters in reading order."""

from pathlib import Path

import pytest

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.book import parse_book
from tests.office_samples import epub
from tests.outlines import outline


def parsed(tmp_path: Path, content: bytes) -> ParsedDocument:
    path = tmp_path / "file.epub"
    path.write_bytes(content)
    return parse_book(path)


def test_chapters_come_in_reading_order_with_their_headings(tmp_path: Path) -> None:
    chapters = {
        "z.xhtml": "<h1>One &amp; all</h1><p>Once <i>upon</i>.</p><h2>Part</h2><p>x</p>",
        "a b.xhtml": "<h1>Two</h1><table><tr><th>A</th><th>B</th></tr>"
        "<tr><td>1</td><td>2</td></tr></table>",
    }
    document = parsed(tmp_path, epub(chapters, title="A book"))
    assert (document.title, document.format) == ("A book", "epub")
    assert outline(document) == [
        ("heading", "One & all", "One & all"),
        ("prose", "One & all", "Once upon."),
        ("heading", "One & all > Part", "Part"),
        ("prose", "One & all > Part", "x"),
        ("heading", "Two", "Two"),
        ("table", "Two", "A | B\n1 | 2"),
    ]


def test_a_chapter_that_is_missing_is_passed_over(tmp_path: Path) -> None:
    whole = epub({"../../gone.xhtml": "<p>escaped</p>", "a.xhtml": "<p>here</p>"})
    assert parsed(tmp_path, whole).text.endswith("here")


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", True),
        ("http://ns.adobe.com/pdf/enc#RC", False),
    ],
)
def test_a_protected_book_is_refused_and_hidden_fonts_are_not(
    tmp_path: Path, method: str, refused: bool
) -> None:
    protection = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
        f'<enc:EncryptedData><enc:EncryptionMethod Algorithm="{method}"/></enc:EncryptedData>'
        "</encryption>"
    )
    book = epub({"a.xhtml": "<p>text</p>"}, extra={"META-INF/encryption.xml": protection})
    if refused:
        with pytest.raises(ParsingError, match="protected against copying"):
            parsed(tmp_path, book)
    else:
        assert parsed(tmp_path, book).text == "text"
