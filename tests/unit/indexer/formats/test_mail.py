"""E-mail: its head, the best form of its text, and what is attached."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.mail import parse_mail
from tests.outlines import outline


def message(subject: str = "The plan") -> EmailMessage:
    one = EmailMessage()
    one["Subject"], one["From"], one["To"] = subject, "Ann Müller <ann@example.org>", "bob@x.org"
    one["Date"] = "Tue, 03 Jun 2025 10:00:00 +0200"
    return one


def parsed(tmp_path: Path, content: EmailMessage | bytes) -> ParsedDocument:
    path = tmp_path / "file.eml"
    path.write_bytes(content if isinstance(content, bytes) else bytes(content))
    return parse_mail(path)


def texts(document: ParsedDocument) -> list[str]:
    return [piece for *_, piece in outline(document)]


def test_a_message_stands_below_its_subject(tmp_path: Path) -> None:
    one = message("Grüße: der Plan")
    one.set_content("Hello Bob,\n\nit is ready.\n")
    document = parsed(tmp_path, one)
    assert (document.title, document.format) == ("Grüße: der Plan", "eml")
    head = (
        "From: Ann Müller <ann@example.org>\nTo: bob@x.org\nDate: Tue, 03 Jun 2025 10:00:00 +0200"
    )
    assert outline(document) == [
        ("heading", "Grüße: der Plan", "Grüße: der Plan"),
        ("prose", "Grüße: der Plan", head),
        ("prose", "Grüße: der Plan", "Hello Bob,"),
        ("prose", "Grüße: der Plan", "it is ready."),
    ]


def test_plain_text_is_preferred_to_html(tmp_path: Path) -> None:
    one = message()
    one.set_content("plain")
    one.add_alternative("<p>html</p>", subtype="html")
    assert texts(parsed(tmp_path, one))[2:] == ["plain"]


def test_html_alone_becomes_text(tmp_path: Path) -> None:
    one = message()
    one.set_content("<h2>News</h2><p>Some <b>bold</b> text</p>", subtype="html", charset="latin-1")
    assert outline(parsed(tmp_path, one))[2:] == [
        ("heading", "The plan > News", "News"),
        ("prose", "The plan > News", "Some bold text"),
    ]


def test_attachments_are_named_and_not_read(tmp_path: Path) -> None:
    one = message()
    one.set_content("See there.")
    one.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="plän.pdf")
    one.add_attachment("secret", filename="notes.txt")
    assert texts(parsed(tmp_path, one))[2:] == ["See there.", "Attachments: plän.pdf, notes.txt"]


def test_a_forwarded_message_stands_below_its_own_subject(tmp_path: Path) -> None:
    inner, outer = message("Inner"), message("Outer")
    inner.set_content("inner text")
    outer.set_content("outer text")
    outer.add_attachment(inner)
    document = parsed(tmp_path, outer)
    assert document.title == "Outer"
    assert outline(document)[-1] == ("prose", "Outer > Inner", "inner text")


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b"Subject: =?utf-8?q?caf=C3=A9?=", "café"),
        (b"Subject: =?no-such-charset?q?x?=", "=?no-such-charset?q?x?="),
        (b"Subject: caf\xe9 raw bytes", "caf\ufffd raw bytes"),
        (b"Subject: folded\r\n over lines", "folded over lines"),
    ],
)
def test_odd_subjects_are_shown_as_well_as_can_be(
    tmp_path: Path, head: bytes, subject: str
) -> None:
    assert parsed(tmp_path, head + b"\r\nFrom: a@b.org\r\n\r\ntext").title == subject


@pytest.mark.parametrize("charset", ["shift_jis", "koi8-r", "no-such-charset", "latin-1"])
def test_text_is_read_in_the_encoding_that_the_part_declares(tmp_path: Path, charset: str) -> None:
    body = {"shift_jis": "日本語の文章", "koi8-r": "Привет, мир"}.get(charset, "a café")
    encoded = body.encode("latin-1" if charset == "no-such-charset" else charset)
    head = f"Subject: x\nContent-Type: text/plain; charset={charset}\n\n".encode()
    assert texts(parsed(tmp_path, head + encoded))[-1] == body


@pytest.mark.parametrize("content", [b"just some text", b"\x00\x01\x02" * 100, b"Key: value\n\nx"])
def test_what_is_no_message_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ParsingError, match="no e-mail message"):
        parsed(tmp_path, content)
