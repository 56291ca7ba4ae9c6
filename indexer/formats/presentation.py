"""PowerPoint presentations: a page a slide, in the order in which they are shown.

They are read here, because the library for the other office files takes slides in the order of
their files' names and leaves out the speaker's notes.
Source: ECMA-376, part 1, PresentationML.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from indexer.documents import ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly

_TITLES = ("title", "ctrTitle")
_REPEATED = ("sldNum", "dt", "ftr", "hdr", "sldImg")
"""Placeholders for what stands on every slide."""
_NO_TITLE = "PowerPoint Presentation"
"""What PowerPoint calls a file to which nobody gave a title."""


def parse_presentation(path: Path) -> ParsedDocument:
    """Each slide's title as its heading, its text, its tables and its notes.

    Raises:
        ParsingError: it is damaged, protected or hostile.
    """
    assembly = Assembly()
    first_title = ""
    with Archive(path) as archive:
        for number, name in enumerate(_slides(archive), start=1):
            assembly.page = number
            assembly.close_headings()
            shapes = list(_shapes(archive.read_xml(name)))
            title = next((_text(s) for s in shapes if _placeholder(s) in _TITLES), "")
            assembly.add_heading(1, title)
            first_title = first_title or " ".join(title.split())
            for shape in shapes:
                _add(shape, assembly)
            _add_notes(archive, name, assembly)
        title = archive.title()
    title = title if title != _NO_TITLE else ""
    return assembly.document(title or first_title or path.stem, "pptx")


def _slides(archive: Archive) -> Iterator[str]:
    main = archive.main_part("ppt/presentation.xml")
    relations = archive.relations(main)
    for listed in archive.read_xml(main).iterfind("{*}sldIdLst/{*}sldId"):
        ids = [value for key, value in listed.items() if key.endswith("}id")]
        kind, name = relations.get(ids[0] if ids else "", ("", ""))
        if kind == "slide" and name in archive.names:
            yield name


def _shapes(slide: Element) -> Iterator[Element]:
    """Boxes of text and tables, in order, however they are grouped."""
    pending = [slide]
    while pending:
        element = pending.pop()
        name = element.tag.rpartition("}")[2]
        if name in ("sp", "tbl"):
            yield element
        elif name != "Fallback":  # a second rendering of the same
            pending += reversed(element)


def _placeholder(shape: Element) -> str:
    found = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
    return found.get("type", "") if found is not None else ""


def _add(shape: Element, assembly: Assembly) -> None:
    if shape.tag.endswith("}tbl"):
        assembly.add_rows(
            [[_text(cell) for cell in row.iterfind("{*}tc")] for row in shape.iterfind("{*}tr")]
        )
    elif _placeholder(shape) not in (*_TITLES, *_REPEATED):
        assembly.add(_text(shape))


def _add_notes(archive: Archive, slide: str, assembly: Assembly) -> None:
    for kind, name in archive.relations(slide).values():
        if kind == "notesSlide" and name in archive.names:
            for shape in _shapes(archive.read_xml(name)):
                if _placeholder(shape) == "body":
                    assembly.add(_text(shape))


def _text(shape: Element) -> str:
    """Its paragraphs, a line each."""
    lines = []
    for paragraph in shape.iterfind("{*}txBody/{*}p"):
        pieces = []
        for element in paragraph.iter():
            if element.tag.endswith("}t"):
                pieces.append(element.text or "")
            elif element.tag.endswith("}br"):
                pieces.append("\n")
        lines.append("".join(pieces).strip())
    return "\n".join(line for line in lines if line)
