"""Word documents: headings by their outline, paragraphs, list items and tables.

They are read here, because the library for the other office files leaves out ``&`` and ``<``.
Source: ECMA-376, part 1, WordprocessingML.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_HEADING = re.compile(r"heading ?([1-9])$", re.IGNORECASE)
_TITLE = 1
"""The rank of a paragraph in the style of a title; headings come below it."""
_SHOWN = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
_UNSEEN = frozenset({"del", "moveFrom", "Fallback", "pPr", "rPr", "instrText", "txbxContent"})
"""Deleted text, a second rendering of the same, formatting, and boxes, which come after."""
_NOTES = ("footnotes", "endnotes")
_MAX_STYLES = 50
"""Styles that are based on one another in a circle must come to an end."""


class _Style(NamedTuple):
    """What a paragraph's style says of it."""

    level: int = 0
    """Of a title or a heading; 0 of others."""
    is_item: bool = False


def parse_word(path: Path) -> ParsedDocument:
    """A Word document, its notes at the end.

    Raises:
        ParsingError: it is damaged, protected or hostile.
    """
    with Archive(path) as archive:
        main = archive.main_part("word/document.xml")
        parts = dict(archive.relations(main).values())
        styles = _styles(archive.read_xml(parts["styles"])) if "styles" in parts else {}
        assembly = Assembly()
        body = next((one for one in archive.read_xml(main) if _name(one) == "body"), None)
        if body is None:
            raise ParsingError("it is damaged: it has no body")
        _add(body, styles, assembly)
        assembly.close_headings()
        for kind in _NOTES:
            if parts.get(kind) in archive.names:
                _add(archive.read_xml(parts[kind]), {}, assembly)
        return assembly.document(archive.title() or assembly.top or path.stem, "docx")


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _value(element: Element | None) -> str:
    """The attribute ``val`` of a setting."""
    if element is None:
        return ""
    return element.get(f"{_W}val") or element.get(f"{_STRICT}val") or ""


def _styles(root: Element) -> dict[str, _Style]:
    found = {
        style.get(f"{_W}styleId") or style.get(f"{_STRICT}styleId") or "": style
        for style in root
        if _name(style) == "style"
    }
    return {key: _style(key, found) for key in found}


def _style(key: str, found: dict[str, Element]) -> _Style:
    """The style's own outline level, or else that of the style which it is based on."""
    for _ in range(_MAX_STYLES):
        style = found.get(key)
        if style is None:
            break
        if level := _named_level(_value(style.find("{*}name"))):
            return _Style(level)
        if outline := _value(style.find("{*}pPr/{*}outlineLvl")):
            return _Style(_level(outline))
        if style.find("{*}pPr/{*}numPr") is not None:
            return _Style(is_item=True)
        key = _value(style.find("{*}basedOn"))
    return _Style()


def _named_level(style: str) -> int:
    """The rank that a style's name speaks of; 0 where it speaks of none."""
    if style.lower() == "title":
        return _TITLE
    found = _HEADING.match(style)
    return _TITLE + int(found[1]) if found else 0


def _level(outline: str) -> int:
    """The rank of a heading; 0 of body text, which Word gives the level 9."""
    return _TITLE + 1 + int(outline) if outline in "012345678" else 0


def _add(root: Element, styles: dict[str, _Style], assembly: Assembly) -> None:
    for element in _content(root):
        if _name(element) == "tbl":
            assembly.add_rows([[_cell(c) for c in _inside(row, "tc")] for row in _rows(element)])
        else:
            _add_paragraph(element, styles, assembly)


def _content(root: Element) -> Iterator[Element]:
    """Paragraphs and tables in order, within whatever else holds them; text boxes after theirs."""
    pending = [*reversed(root)]
    while pending:
        element = pending.pop()
        name = _name(element)
        if name == "p":
            yield element
            pending += reversed(_boxes(element))
        elif name == "tbl":
            yield element
        elif name not in _UNSEEN or name == "txbxContent":
            pending += reversed(element)


def _boxes(paragraph: Element) -> list[Element]:
    """The text boxes that are anchored in a paragraph."""
    boxes = []
    pending = [paragraph]
    while pending:
        element = pending.pop()
        if _name(element) == "txbxContent":
            boxes.append(element)
        elif _name(element) != "Fallback":
            pending += reversed(element)
    return boxes


def _add_paragraph(element: Element, styles: dict[str, _Style], assembly: Assembly) -> None:
    text = _text(element)
    named = _value(element.find("{*}pPr/{*}pStyle"))
    style = styles.get(named) or _Style(_named_level(named))
    outline = _value(element.find("{*}pPr/{*}outlineLvl"))
    level = _level(outline) if outline else style.level
    if level and text.strip():
        assembly.add_heading(level, text)
    elif style.is_item or element.find("{*}pPr/{*}numPr") is not None:
        assembly.add_item(text)
    else:
        assembly.add(text)


def _rows(table: Element) -> Iterator[Element]:
    return _inside(table, "tr")


def _inside(element: Element, name: str) -> Iterator[Element]:
    """The rows of a table or the cells of a row, also within controls, but not in inner tables."""
    pending = [*reversed(element)]
    while pending:
        child = pending.pop()
        if _name(child) == name:
            yield child
        elif _name(child) not in ("tbl", "p", *_UNSEEN):
            pending += reversed(child)


def _cell(cell: Element) -> str:
    return " ".join(_text(paragraph) for paragraph in cell.iter() if _name(paragraph) == "p")


def _text(paragraph: Element) -> str:
    pieces: list[str] = []
    pending = [*reversed(paragraph)]
    while pending:
        element = pending.pop()
        name = _name(element)
        if name == "t":
            pieces.append(element.text or "")
        elif name in _SHOWN:
            pieces.append(_SHOWN[name])
        elif name not in _UNSEEN:
            pending += reversed(element)
    return "".join(pieces)
