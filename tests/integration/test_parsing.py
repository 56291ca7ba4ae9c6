"""Files read for real: the parser's own process, its limits, and files that are not well."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import ParsingError
from indexer.parser_process import ParserProcess
from indexer.parsing import parse
from tests.pdf_samples import pdf


@pytest.fixture(scope="module")
def process() -> Iterator[ParserProcess]:
    with ParserProcess() as one:
        yield one


def write(tmp_path: Path, name: str, content: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def reason(path: Path, process: ParserProcess | None = None) -> str:
    with pytest.raises(ParsingError) as caught:
        parse(path, process=process)
    return str(caught.value)


def test_pages_of_a_pdf_survive(tmp_path: Path, process: ParserProcess) -> None:
    path = write(tmp_path, "a.pdf", pdf("Hello page one.\nSecond line.", "", "Page three."))
    document = parse(path, process=process)
    assert document.title == "a"
    assert [(b.page, document.text[b.start : b.end]) for b in document.blocks] == [
        (1, "Hello page one.\nSecond line."),
        (3, "Page three."),
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("scan.pdf", pdf("", ""), "scanned"),
        ("locked.pdf", pdf("secret", encrypted=True), "password"),
        ("cut.pdf", pdf("text " * 50)[:500], "damaged"),
        ("page.pdf", b"<html>not a PDF</html>", "not a PDF"),
        ("a.docx", b"PK\x03\x04 and no more", "damaged"),
        ("a.html", b"<p>\0", "binary"),
        ("a.py", b"x = '\0'", "binary"),
        ("a.txt", b"\x00\x01", "binary"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(
    tmp_path: Path, process: ParserProcess, name: str, content: bytes, expected: str
) -> None:
    assert expected in reason(write(tmp_path, name, content), process)


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.rst", "a.html", "a.py", "a.rs", "a.csv"])
@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_document(
    tmp_path: Path, process: ParserProcess, name: str, content: bytes
) -> None:
    document = parse(write(tmp_path, name, content), process=process)
    assert (document.blocks, document.title) == ([], "a")


def test_a_pdf_is_known_by_its_first_bytes(tmp_path: Path, process: ParserProcess) -> None:
    document = parse(write(tmp_path, "report.txt", pdf("Hello there.")), process=process)
    assert document.format == "pdf"


def test_odd_names_are_parsed(tmp_path: Path, process: ParserProcess) -> None:
    path = write(tmp_path, "caf\udce9\nnew.rst", "Title\n=====\n\ntext")
    assert parse(path, process=process).title == "Title"


def test_a_missing_file_is_reported_by_the_operating_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        parse(tmp_path / "gone.html")


def test_without_a_process_a_file_gets_its_own(tmp_path: Path) -> None:
    assert parse(write(tmp_path, "a.html", "<h1>T</h1>x")).title == "T"


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read(tmp_path: Path) -> None:
    endless = write(tmp_path, "endless.html", "<a " * 2_000_000)
    good = write(tmp_path, "good.html", "<p>fine</p>")
    with ParserProcess(timeout_s=1.0) as process:
        process.parse(good, "html")
        assert "within 1 s" in reason(endless, process)
    with ParserProcess() as process:
        assert process.parse(good, "html").text == "fine"


def test_a_file_that_takes_too_much_memory_is_given_up_and_the_next_is_read(
    tmp_path: Path,
) -> None:
    large = write(tmp_path, "large.html", "<p>" + "日" * 20_000_000)
    good = write(tmp_path, "good.html", "<p>fine</p>")
    with ParserProcess(memory_bytes=150_000_000) as process:
        assert "memory" in reason(large, process)
        assert process.parse(good, "html").text == "fine"


def test_a_parser_that_dies_is_replaced(tmp_path: Path) -> None:
    good = write(tmp_path, "good.html", "<p>fine</p>")
    with ParserProcess() as process:
        first = process.parse(good, "html")
        process.close()
        assert process.parse(good, "html") == first


def test_threads_share_a_process(tmp_path: Path, process: ParserProcess) -> None:
    paths = [write(tmp_path, f"{n}.html", f"<p>text {n}</p>") for n in range(20)]
    texts: dict[int, str] = {}

    def read(number: int) -> None:
        texts[number] = parse(paths[number], process=process).text

    threads = [threading.Thread(target=read, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == {n: f"text {n}" for n in range(20)}


def test_a_thread_that_reads_on_after_the_end_starts_no_other_process(tmp_path: Path) -> None:
    with ParserProcess() as process:
        pass
    path = write(tmp_path, "page.html", "<p>too late</p>")
    assert reason(path, process) == "indexing was stopped"
    assert process._process is None
