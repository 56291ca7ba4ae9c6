"""Archives read as if they were hostile."""

from pathlib import Path

import pytest

from errors import ParsingError
from indexer.formats import archives
from indexer.formats.archives import Archive, xml
from tests.office_samples import archive

NAME = b"part.xml"


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.docx"
    path.write_bytes(content)
    return path


def test_a_part_is_read_by_its_exact_name(tmp_path: Path) -> None:
    with Archive(written(tmp_path, archive({"../a.xml": "<a>&amp;</a>"}))) as one:
        assert one.read_xml("../a.xml").text == "&"
        with pytest.raises(ParsingError, match=r"no \.docx file: it has no 'a\.xml'"):
            one.read("a.xml")


def test_a_part_behind_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(archive({NAME.decode(): "text"}))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    with (
        Archive(written(tmp_path, bytes(content))) as one,
        pytest.raises(ParsingError, match="password"),
    ):
        one.read(NAME.decode())


def test_damage_within_a_part_is_told(tmp_path: Path) -> None:
    content = bytearray(archive({NAME.decode(): "text of the part " * 100}))
    start = content.index(NAME) + len(NAME) + 30
    content[start : start + 8] = b"\xff" * 8
    with (
        Archive(written(tmp_path, bytes(content))) as one,
        pytest.raises(ParsingError, match="cannot be unpacked"),
    ):
        one.read(NAME.decode())


def test_all_parts_together_may_unpack_to_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_500)
    with Archive(written(tmp_path, archive({"a": "x" * 1_000, "b": "x" * 1_000}))) as one:
        assert len(one.read("a")) == 1_000
        with pytest.raises(ParsingError, match="unpacks to more than 1,500 bytes"):
            one.read("b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_xml_with_entities_is_refused_in_every_encoding(encoding: str) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    with pytest.raises(ParsingError, match="entities"):
        xml(text.encode(encoding), "part")


def test_a_document_type_alone_does_no_harm() -> None:
    assert (
        xml(b'<!DOCTYPE ncx PUBLIC "x" "http://localhost/x.dtd"><ncx>t</ncx>', "part").text == "t"
    )


@pytest.mark.parametrize("content", [b"", b"<a>", b"text", b"<a>&b;</a>"])
def test_what_is_no_xml_is_told(content: bytes) -> None:
    with pytest.raises(ParsingError, match="is no XML"):
        xml(content, "part")
