"""Word documents: what survives of their structure."""

from pathlib import Path

import pytest

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.word import parse_word
from tests.office_samples import docx, entity_paragraph, heading, paragraph, table
from tests.outlines import outline

ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
ITEM = '<w:p><w:pPr><w:numPr><w:ilvl w:val="{}"/></w:numPr></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'


def parsed(tmp_path: Path, content: bytes) -> ParsedDocument:
    path = tmp_path / "file.docx"
    path.write_bytes(content)
    return parse_word(path)


def test_headings_nest_and_tables_keep_their_rows(tmp_path: Path) -> None:
    body = (
        heading(1, "Top")
        + paragraph("Intro.")
        + heading(2, "Below")
        + table(("Name", "Age"), ("Ann", "30"), ("Bob | Eve", ""))
        + heading(1, "Next")
        + paragraph("End.")
    )
    document = parsed(tmp_path, docx(body, title="The title"))
    assert (document.title, document.format) == ("The title", "docx")
    assert outline(document) == [
        ("heading", "Top", "Top"),
        ("prose", "Top", "Intro."),
        ("heading", "Top > Below", "Below"),
        ("table", "Top > Below", "Name | Age\nAnn | 30\nBob | Eve"),
        ("heading", "Next", "Next"),
        ("prose", "Next", "End."),
    ]


def test_the_text_is_literal(tmp_path: Path) -> None:
    text = "AT&T <x> *stars* _u_ # [a](b) \"q\" 5 > 3 'z' | \\ ä日"
    assert parsed(tmp_path, docx(paragraph(text))).text == text


def test_a_title_stands_above_the_headings_and_names_the_document(tmp_path: Path) -> None:
    title = paragraph("My title").replace("<w:p>", '<w:p><w:pPr><w:pStyle w:val="Title"/></w:pPr>')
    document = parsed(tmp_path, docx(title + heading(1, "A") + paragraph("x")))
    assert document.title == "My title"
    assert document.blocks[-1].heading_path == ("My title", "A")


def test_a_style_based_on_a_heading_is_one(tmp_path: Path) -> None:
    styles = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:styleId="mine"><w:name w:val="Mine"/><w:basedOn w:val="b"/></w:style>'
        '<w:style w:styleId="b"><w:name w:val="heading 2"/><w:basedOn w:val="mine"/></w:style>'
        '<w:style w:styleId="loop"><w:name w:val="L"/><w:basedOn w:val="loop"/></w:style>'
        "</w:styles>"
    )
    body = "".join(
        paragraph(name).replace("<w:p>", f'<w:p><w:pPr><w:pStyle w:val="{name}"/></w:pPr>')
        for name in ("mine", "loop")
    )
    document = parsed(tmp_path, docx(body, styles=styles))
    assert [kind for kind, *_ in outline(document)] == ["heading", "prose"]


def test_list_items_are_lines_of_their_own(tmp_path: Path) -> None:
    document = parsed(tmp_path, docx(ITEM.format(0, "one") + ITEM.format(1, "two")))
    assert document.text == "- one\n- two"


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>", "a\tb\nc"),
        ("<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r>"
         "</w:del>", "new"),
        ("<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink>", "link"),
        ("<w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>7</w:t></w:r>", "7"),
        ("<w:sdt><w:sdtContent><w:r><w:t>field</w:t></w:r></w:sdtContent></w:sdt>", "field"),
    ],
)  # fmt: skip
def test_text_is_what_word_shows(tmp_path: Path, run: str, text: str) -> None:
    assert parsed(tmp_path, docx(f"<w:p>{run}</w:p>")).text == text


def test_a_text_box_comes_after_its_paragraph_and_once(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{paragraph('boxed')}</w:txbxContent>"
    both = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    body = f"<w:p><w:r><w:t>before</w:t>{both}</w:r></w:p>{paragraph('after')}"
    assert parsed(tmp_path, docx(body)).text == "before\n\nboxed\n\nafter"


def test_nested_tables_and_empty_cells_do_no_harm(tmp_path: Path) -> None:
    inner = table(("x", "y"))
    body = f"<w:tbl><w:tr><w:tc>{inner}{paragraph('z')}</w:tc><w:tc/></w:tr></w:tbl>"
    assert parsed(tmp_path, docx(body)).text == "x y z"


def test_deep_nesting_does_no_harm(tmp_path: Path) -> None:
    depth = 20_000
    body = "<w:sdt><w:sdtContent>" * depth + paragraph("deep") + "</w:sdtContent></w:sdt>" * depth
    assert parsed(tmp_path, docx(body)).text == "deep"


def test_entities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParsingError, match="declares XML entities"):
        parsed(tmp_path, docx(entity_paragraph("b"), doctype=ENTITIES))


def test_entities_in_another_encoding_are_refused(tmp_path: Path) -> None:
    whole = docx(entity_paragraph("b"), doctype=ENTITIES, encoding="utf-16")
    with pytest.raises(ParsingError, match="declares XML entities"):
        parsed(tmp_path, whole)
