"""Damaged, hostile and enormous files: each is refused with its reason or read, and in time."""

import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from errors import ParsingError
from indexer.parser_process import ParserProcess
from indexer.parsing import parse
from tests.office_samples import (
    Slide,
    archive,
    docx,
    entity_paragraph,
    epub,
    heading,
    paragraph,
    pptx,
    xlsx,
)
from tests.pdf_samples import pdf
from tests.unit.indexer.index_fakes import Index, new_index

JAPANESE = "これは日本語の文章です。文字コードを判定します。" * 3
ENTITIES = (
    "<!DOCTYPE x [<!ENTITY a0 'lol'>"
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
)
"""A billion words in a few hundred bytes."""
SLIPPING = {"../../../../escaped": "out", "/tmp/escaped": "out", "..\\..\\escaped": "out"}  # noqa: S108 - nothing is written there: that is the test
LINE = 20_000_000
DEEP = 100_000

Content = bytes | Callable[[], bytes]


@pytest.fixture(scope="module")
def process() -> Iterator[ParserProcess]:
    with ParserProcess() as one:
        yield one


def written(tmp_path: Path, name: str, content: Content) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content())
    return path


def bomb(size: int) -> Callable[[], Iterator[str]]:
    """So many characters, a megabyte at a time."""
    return lambda: ("0" * 1_000_000 for _ in range(size // 1_000_000))


REFUSED: dict[str, tuple[Content, str]] = {
    "nulls.md": (b"text\0text", "null bytes"),
    "only-nulls.txt": (bytes(1000), "binary"),
    "random.md": (random.Random(1).randbytes(20_000), "binary"),  # noqa: S311 - no secret
    "random.csv": (random.Random(2).randbytes(20_000), "binary"),  # noqa: S311 - no secret
    "random.docx": (random.Random(3).randbytes(20_000), "damaged"),  # noqa: S311 - no secret
    "random.pdf": (random.Random(4).randbytes(20_000), "not a PDF"),  # noqa: S311 - no secret
    "random.epub": (random.Random(5).randbytes(20_000), "damaged"),  # noqa: S311 - no secret
    "random.ipynb": (random.Random(6).randbytes(20_000), "binary"),  # noqa: S311 - no secret
    "random.eml": (random.Random(7).randbytes(20_000), "no e-mail message"),  # noqa: S311 - no secret
    "nulls.csv": (b"a,b\n1,\0\n", "null bytes"),
    "prose.ipynb": (b"no notebook", "no JSON"),
    "deep.ipynb": (b"[" * DEEP, "nested too deeply"),
    "empty.ipynb": (b'{"cells": []}', "no text"),
    "script.html": (b"<script>only()</script>", "no text"),
    "cut.pdf": (pdf("text " * 50)[:500], "damaged"),
    "locked.pdf": (pdf("secret", encrypted=True), "password"),
    "scan.pdf": (pdf("", ""), "scanned"),
    "page.pdf": (b"<!doctype html><p>A page.", "not a PDF"),
    "blank.docx": (docx(""), "no text"),
    "blank.pptx": (pptx(Slide("")), "no text"),
    "blank.xlsx": (xlsx({"Sheet1": []}), "no text"),
    "blank.epub": (epub({"a.xhtml": "<p></p>"}), "no text"),
    "cut.docx": (docx(paragraph("text") * 100)[:-200], "damaged"),
    "cut.xlsx": (xlsx({"S": [("a", "b")]})[:-100], "damaged"),
    "page.docx": (b"<html>", "damaged"),
    "locked.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000), "password"),
    "entities.docx": (docx(entity_paragraph("a9"), doctype=ENTITIES), "entities"),
    "entities.xlsx": (xlsx({"S": [("&a9;", "b")]}, doctype=ENTITIES), "entities"),
    "no-parts.docx": (archive({"a.txt": "x"}), "no .docx file"),
    "bomb.docx": (lambda: docx("", extra={"word/styles.xml": bomb(300_000_000)()}), "unpacks"),
    "bomb.xlsx": (lambda: archive({"xl/a.xml": bomb(1_100_000_000)()}), "unpacks"),
    "bomb.epub": (lambda: archive({"META-INF/container.xml": bomb(200_000_000)()}), "unpacks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_reason_and_the_next_is_read(
    tmp_path: Path, process: ParserProcess, name: str
) -> None:
    content, reason = REFUSED[name]
    path = written(tmp_path, name, content)
    begun = time.monotonic()
    with pytest.raises(ParsingError, match=reason):
        parse(path, process=process)
    assert time.monotonic() - begun < 10
    good = written(tmp_path, "good.html", b"<p>fine")
    assert parse(good, process=process).text == "fine"


READ: dict[str, tuple[Content, str]] = {
    "utf-16.md": ("# Größe\n".encode("utf-16"), "Größe"),
    "utf-16-unmarked.txt": ("Größe der Häuser\n".encode("utf-16-le"), "Größe"),
    "latin-1.csv": ("Größe;Häuser\n1;2\n".encode("latin-1"), "Größe;Häuser"),
    "shift-jis.txt": (JAPANESE.encode("shift-jis"), JAPANESE),
    "shift-jis.html": (f"<p>{JAPANESE}".encode("shift-jis"), JAPANESE),
    "entities.html": (f"{ENTITIES}<p>text &a9; &amp;".encode(), "&a9; &"),
    "entities.xml": (f"{ENTITIES}<a>&a9;</a>".encode(), "&a9;"),
    "ragged.csv": (b'a,b,c\n1\n1,2,3,4\n"x\ny",2\n', '"x\ny",2'),
    "slipping.docx": (docx(paragraph("inside"), extra=SLIPPING), "inside"),
    "slipping.epub": (epub({"a.xhtml": "<p>inside"}, extra=SLIPPING), "inside"),
    "half.ipynb": (
        json.dumps({"cells": [{"cell_type": "raw", "source": "half \ud83d of it"}]}).encode(),
        "half \ufffd of it",
    ),
    "deep.json": (b"[" * DEEP + b"]" * DEEP, "[[[["),
    "deep-objects.json": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, '"a":1}}'),
    "deep.html": (b"<div>" * DEEP + b"deep" + b"</div>" * DEEP, "deep"),
    "deep-table.html": (b"<table><tr><td>" * DEEP + b"deep", "deep"),
    "deep.xml": (b"<a>" * DEEP, "<a><a>"),
    "deep.md": (b"> " * DEEP + b"deep", "deep"),
    "deep.py": (b"(" * DEEP, "((("),
    "wide.md": (b"|a" * 2_000 + b"\n" + b"|-" * 2_000 + b"\n" + b"x\n" * 20_000, "|a|a"),
    **{
        f"line.{suffix}": (lambda: b"word " * (LINE // 5), "word word")
        for suffix in ("txt", "md", "csv", "json", "jsonl", "html", "py", "rs", "rst", "log")
    },
    "line.docx": (lambda: docx(heading(1, "H") + paragraph("word " * (LINE // 5))), "word word"),
    "flat.json": (lambda: b"[" + b"1," * (LINE // 4) + b"1]", "1,1,1"),
    "one-word.txt": (lambda: b"a" * LINE, "aaa"),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_file_is_read_in_time(tmp_path: Path, process: ParserProcess, name: str) -> None:
    content, expected = READ[name]
    path = written(tmp_path, name, content)
    begun = time.monotonic()
    document = parse(path, process=process)
    assert time.monotonic() - begun < 30
    assert expected in document.text
    assert document.blocks


@pytest.mark.parametrize("name", ["slipping.docx", "slipping.epub"])
def test_nothing_is_unpacked_to_the_disk(tmp_path: Path, process: ParserProcess, name: str) -> None:
    content, _ = READ[name]
    parse(written(tmp_path, name, content), process=process)
    places = [*tmp_path.parents, tmp_path, Path.cwd()]
    assert [place for place in places if any(place.glob("*escaped*"))] == []


@pytest.mark.parametrize(
    "suffix",
    "md txt rst html py rs csv tsv json jsonl yaml pdf docx pptx xlsx odt epub eml ipynb".split(),  # noqa: SIM905 - legible
)
@pytest.mark.parametrize(
    "content",
    [b"", b"\xef\xbb\xbf", b"\xff\xfe", b" \n\t\r\n"],
    ids=["zero", "bom", "bom16", "space"],
)
def test_an_empty_file_is_empty_whatever_its_format(
    tmp_path: Path, process: ParserProcess, suffix: str, content: bytes
) -> None:
    document = parse(written(tmp_path, f"a.{suffix}", content), process=process)
    assert (document.text.strip(), document.blocks, document.title) == ("", [], "a")


@pytest.mark.timeout(180)
def test_a_sheet_of_a_million_rows_is_read_or_refused_in_time(
    tmp_path: Path, process: ParserProcess
) -> None:
    rows = ((n, f"name {n}", n * 1.5) for n in range(1_000_000))
    path = written(tmp_path, "huge.xlsx", xlsx({"Big": rows}))
    begun = time.monotonic()
    document = parse(path, process=process)
    assert time.monotonic() - begun < 60
    assert document.text.endswith("999999 | name 999999 | 1499998.5")


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


async def test_a_sync_lists_every_bad_file_and_indexes_every_other(
    index: Index, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    small = {name: content for name, (content, _) in REFUSED.items() if isinstance(content, bytes)}
    odd = {
        name: content
        for name, (content, _) in READ.items()
        if isinstance(content, bytes) and len(content) < 10_000
    }
    for name, content in {**small, **odd, "empty.docx": b"", "good.md": b"Good."}.items():
        written(folder, name, content)
    report = await index.sync(folder)
    assert {problem.source for problem in report.failed} == {f"notes/{name}" for name in small}
    for problem in report.failed:
        assert REFUSED[problem.source.removeprefix("notes/")][1] in problem.reason
    assert index.sources() == {f"notes/{name}" for name in [*odd, "good.md"]}

    # A bad file is tried again when it changes.
    written(folder, "cut.docx", docx(paragraph("Whole again.")))
    again = await index.sync(folder)
    assert again.chunks_embedded == 1
    assert index.texts("notes/cut.docx") == ["Whole again."]
    assert len(again.failed) == len(small) - 1
