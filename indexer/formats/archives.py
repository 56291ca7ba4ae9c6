"""Zip files of XML, as office programs and e-books use them, read as if they were hostile.

Nothing is unpacked to the disk, so a part's name can do no harm; a part is found by its exact name.
How much is read is limited, whatever the archive declares, and XML that declares entities is
refused: a few hundred bytes of them can stand for gigabytes.
"""

import posixpath
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from errors import ParsingError
from indexer.formats.decoding import decode

MAX_BYTES = 100_000_000
"""Of all parts that are read of one archive, unpacked."""
_MAX_DECLARED = 1_000_000_000
"""Of all parts that it declares; another library will unpack them."""
_HEAD = 100_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Old office files begin with this, and new ones that a password protects."""
_ENCRYPTED = 0x1
_Relations = dict[str, tuple[str, str]]


class Archive:
    """An open zip file.

    Raises:
        ParsingError: it is no zip file, is damaged, or is protected by a password.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(_OLE)) == _OLE:
                raise ParsingError(
                    "it is protected by a password, or made by an old program: save it anew, "
                    f"without a password, as {path.suffix}"
                )
        self._suffix = path.suffix
        self._left = MAX_BYTES
        try:
            self._file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
            raise ParsingError(f"it is damaged, or no {path.suffix} file: {exc}") from exc
        self.names = set(self._file.namelist())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """A part, unpacked.

        Raises:
            ParsingError: it is missing, damaged, encrypted, or the archive's parts are too large.
        """
        try:
            if self._file.getinfo(name).flag_bits & _ENCRYPTED:
                raise ParsingError("it is protected by a password: save it without one")
            with self._file.open(name) as part:
                content = part.read(self._left + 1)
        except KeyError as exc:
            raise ParsingError(f"it is no {self._suffix} file: it has no {name!r}") from exc
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as exc:
            raise ParsingError(f"it is damaged: {name!r} cannot be unpacked") from exc
        self._left -= len(content)
        if self._left < 0:
            raise ParsingError(f"it unpacks to more than {MAX_BYTES:,} bytes of text")
        return content

    def read_xml(self, name: str) -> Element:
        """The root element of a part. Raises ParsingError as ``read`` and ``xml`` do."""
        return xml(self.read(name), name)

    def relations(self, name: str) -> _Relations:
        """What a part of an office file refers to: ids with a kind and the name of a part."""
        folder, base = posixpath.split(name)
        relations = f"{folder}/_rels/{base}.rels".lstrip("/")
        if relations not in self.names:
            return {}
        return {
            one.get("Id", ""): (
                one.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, one.get("Target", ""))).lstrip("/"),
            )
            for one in self.read_xml(relations)
        }

    def main_part(self, usual: str) -> str:
        """The part of an office file that everything else hangs on, and its usual name."""
        for kind, target in self.relations("").values():
            if kind == "officeDocument":
                return target
        return usual

    def title(self) -> str:
        """The title in an office file's properties; empty where it has none."""
        if "docProps/core.xml" not in self.names:
            return ""
        found = self.read_xml("docProps/core.xml").findtext("{*}title") or ""
        return " ".join(found.split())

    def refuse_entities(self, name: str) -> None:
        """For a library that ignores them in silence. They can only be declared at the beginning.

        Raises:
            ParsingError: a part declares XML entities.
        """
        with self._file.open(name) as part:
            _refuse_entities(decode(part.read(_HEAD)), name)

    def refuse_bombs(self) -> None:
        """For a library that unpacks all parts. Raises ParsingError: they would be too large."""
        declared = sum(info.file_size for info in self._file.infolist())
        if declared > _MAX_DECLARED:
            raise ParsingError(f"it unpacks to {declared:,} bytes; {_MAX_DECLARED:,} are allowed")


def xml(data: bytes, name: str) -> Element:
    """The root element of a document.

    Raises:
        ParsingError: it is not well-formed, or declares entities.
    """
    text = decode(data)
    _refuse_entities(text, name)
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - entities were refused above
    except (ElementTree.ParseError, ValueError) as exc:
        raise ParsingError(f"it is damaged: {name!r} is no XML: {exc}") from exc


def _refuse_entities(text: str, name: str) -> None:
    if "<!ENTITY" in text:
        raise ParsingError(f"{name!r} declares XML entities: it may be hostile, and is not read")
