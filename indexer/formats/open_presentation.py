"""OpenDocument presentations: a page a slide. The library for the other office files has no parser.

Source: OASIS Open Document Format 1.3, part 3.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from indexer.documents import ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly

_CLASS = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}class"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_SPACES = {f"{_TEXT}s": " ", f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n"}
_REPEATED = ("header", "footer", "date-time", "page-number")


def parse_open_presentation(path: Path) -> ParsedDocument:
    """Each slide's title as its heading, its text, its tables and its notes.

    Raises:
        ParsingError: it is damaged, protected or hostile.
    """
    with Archive(path) as archive:
        content = archive.read_xml("content.xml")
    assembly = Assembly()
    for number, page in enumerate(content.iterfind("{*}body/{*}presentation/{*}page"), start=1):
        assembly.page = number
        assembly.close_headings()
        shapes = list(_shapes(page))
        title = next((_text(one) for one in shapes if one.get(_CLASS) == "title"), "")
        assembly.add_heading(1, title)
        for shape in shapes:
            if (table := shape.find("{*}table")) is not None:
                assembly.add_rows(
                    [[_text(cell) for cell in row] for row in table.iterfind("{*}table-row")]
                )
            elif shape.get(_CLASS) not in ("title", *_REPEATED):
                assembly.add(_text(shape))
    return assembly.document(assembly.top or path.stem, "odp")


def _shapes(page: Element) -> Iterator[Element]:
    """What stands on a slide and in its notes, in order, however it is grouped."""
    pending = [*reversed(page)]
    while pending:
        element = pending.pop()
        if element.tag.rpartition("}")[2] in ("g", "notes"):
            pending += reversed(element)
        else:
            yield element


def _text(shape: Element) -> str:
    """Its paragraphs, a line each."""
    for space in shape.iter():
        if space.tag in _SPACES:
            space.text = _SPACES[space.tag]
    lines = ("".join(paragraph.itertext()).strip() for paragraph in shape.iter(f"{_TEXT}p"))
    return "\n".join(line for line in lines if line)
