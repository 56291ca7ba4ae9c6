"""E-books: their chapters in reading order, each read as the web page that it is.

Source: https://www.w3.org/TR/epub-33/
"""

import posixpath
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.archives import Archive
from indexer.formats.assembly import Assembly
from indexer.formats.web_page import parse_web_page

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONTS_ONLY = (
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
)
"""Ways to hide fonts, which anybody may undo: no protection of the text."""


def parse_book(path: Path) -> ParsedDocument:
    """A book's chapters under their headings; its table of contents is left out.

    Raises:
        ParsingError: it is damaged, protected or hostile.
    """
    with Archive(path) as archive:
        _refuse_protected(archive)
        found = archive.read_xml(_CONTAINER).find("{*}rootfiles/{*}rootfile")
        package_name = found.get("full-path", "") if found is not None else ""
        package = archive.read_xml(package_name)
        assembly = Assembly()
        for name in _chapters(package, posixpath.dirname(package_name)):
            if name in archive.names:
                assembly.include(parse_web_page(archive.read(name), name=""))
    title = " ".join((package.findtext("{*}metadata/{*}title") or "").split())
    return assembly.document(title or path.stem, "epub")


def _chapters(package: Element, folder: str) -> list[str]:
    items = {item.get("id", ""): item for item in package.iterfind("{*}manifest/{*}item")}
    chapters = []
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref", ""))
        if item is None or "nav" in item.get("properties", "").split():
            continue
        if "html" in item.get("media-type", ""):
            chapters.append(
                posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
            )
    return chapters


def _refuse_protected(archive: Archive) -> None:
    if _ENCRYPTION not in archive.names:
        return
    for method in archive.read_xml(_ENCRYPTION).iter():
        if method.tag.endswith("}EncryptionMethod") and method.get("Algorithm") not in _FONTS_ONLY:
            raise ParsingError("it is protected against copying: only its reader program opens it")
