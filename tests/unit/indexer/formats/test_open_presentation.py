"""OpenDocument presentations: a page a slide."""

from pathlib import Path

from indexer.formats.open_presentation import parse_open_presentation
from tests.office_samples import archive
from tests.outlines import outline, pages

_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{space}:1.0"'
    for name, space in (
        ("office", "office"),
        ("draw", "drawing"),
        ("presentation", "presentation"),
        ("table", "table"),
        ("text", "text"),
    )
)


def box(text: str, kind: str = "outline") -> str:
    return (
        f'<draw:frame presentation:class="{kind}"><draw:text-box><text:p>{text}</text:p>'
        "</draw:text-box></draw:frame>"
    )


def test_a_slide_is_a_page_under_its_title(tmp_path: Path) -> None:
    cells = "".join(f"<table:table-cell><text:p>{n}</text:p></table:table-cell>" for n in "ab")
    rows = f"<table:table-row>{cells}</table:table-row>"
    table = f"<draw:frame><table:table>{rows}</table:table></draw:frame>"
    slides = (
        f"<draw:page>{box('first<text:s/>point<text:line-break/>more')}{box('R&amp;D', 'title')}"
        f"{box('7', 'page-number')}<presentation:notes>{box('Say hello.', 'notes')}"
        "</presentation:notes></draw:page>",
        f"<draw:page><draw:g>{box('no title')}</draw:g>{table}</draw:page>",
    )
    content = (
        f"<office:document-content {_NAMES}><office:body><office:presentation>{''.join(slides)}"
        "</office:presentation></office:body></office:document-content>"
    )
    path = tmp_path / "file.odp"
    path.write_bytes(archive({"content.xml": content}))
    document = parse_open_presentation(path)
    assert (document.title, document.format) == ("R&D", "odp")
    assert outline(document) == [
        ("heading", "R&D", "R&D"),
        ("prose", "R&D", "first point\nmore"),
        ("prose", "R&D", "Say hello."),
        ("prose", "", "no title"),
        ("table", "", "a | b"),
    ]
    assert pages(document) == [1, 1, 1, 2, 2]
