"""PowerPoint presentations: pages in the order in which they are shown."""

from pathlib import Path

from indexer.documents import ParsedDocument
from indexer.formats.presentation import parse_presentation
from tests.office_samples import Slide, pptx
from tests.outlines import outline, pages


def parsed(tmp_path: Path, content: bytes) -> ParsedDocument:
    path = tmp_path / "file.pptx"
    path.write_bytes(content)
    return parse_presentation(path)


def test_a_slide_is_a_page_under_its_title(tmp_path: Path) -> None:
    document = parsed(
        tmp_path,
        pptx(
            Slide("R&D plans", "first point", "second point", notes="Say hello."),
            Slide("", "no title here"),
            Slide("Numbers", rows=[("Year", "Sum"), ("2024", "5")]),
        ),
    )
    assert (document.title, document.format) == ("R&D plans", "pptx")
    assert outline(document) == [
        ("heading", "R&D plans", "R&D plans"),
        ("prose", "R&D plans", "first point\nsecond point"),
        ("prose", "R&D plans", "Say hello."),
        ("prose", "", "no title here"),
        ("heading", "Numbers", "Numbers"),
        ("table", "Numbers", "Year | Sum\n2024 | 5"),
    ]
    assert pages(document) == [1, 1, 1, 2, 3, 3]


def test_slides_come_in_the_order_of_the_presentation_not_of_their_names(tmp_path: Path) -> None:
    document = parsed(tmp_path, pptx(*(Slide(f"Slide {n}") for n in range(1, 13))))
    assert document.text.split("\n\n") == [f"Slide {n}" for n in range(1, 13)]


def test_the_title_is_that_of_the_properties_unless_nobody_gave_one(tmp_path: Path) -> None:
    assert parsed(tmp_path, pptx(Slide("First"), title="Deck")).title == "Deck"
    unnamed = pptx(Slide("First"), title="PowerPoint Presentation")
    assert parsed(tmp_path, unnamed).title == "First"
