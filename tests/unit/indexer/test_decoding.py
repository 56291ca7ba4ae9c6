"""Bytes as text, whatever wrote them."""

import random

import pytest

from errors import ParsingError
from indexer.formats.decoding import decode

GERMAN = "Größe und Übermut: schöne Grüße aus Österreich, läuft über die Straße. " * 5
JAPANESE = "これは日本語の文章です。文字コードを判定します。漢字とかなが混ざっています。" * 5


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"]
)
def test_western_text_is_decoded(encoding: str) -> None:
    assert decode(GERMAN.encode(encoding)) == GERMAN


def test_shift_jis_is_detected() -> None:
    assert decode(JAPANESE.encode("shift-jis")) == JAPANESE


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café", "latin-1"),
        ("El niño mañana comió señales", "latin-1"),
        ("L’élève “français” répondit — voilà, 5 €", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", "cp1250"),
        ("Zażółć gęślą jaźń. To jest zdanie po polsku.", "cp1250"),
        ("Привет, как дела?", "cp1251"),
        ("Привет, как дела?", "koi8-r"),
        ("Ωμέγα και άλφα", "cp1253"),
        ("中文字符编码是一个常见的问题，我们需要检测它。", "gb18030"),
        ("中文字符編碼是一個常見的問題，我們需要檢測它。", "big5"),
        ("한국어 문장입니다", "euc-kr"),
        (JAPANESE, "euc-jp"),
    ],
)
def test_a_sentence_is_enough_to_tell_an_older_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["A plain sentence.\n", "Привет, мир, как дела?\n", JAPANESE + " \n" * 30]
)
def test_utf_16_is_told_without_its_mark_by_the_nulls_in_it(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_half_a_character_at_the_end_is_damage() -> None:
    assert decode("text".encode("utf-16")[:-1]) == "tex\ufffd"


def test_the_encoding_is_told_from_a_part_that_is_not_ascii() -> None:
    text = "plain words only\n" * 20_000 + GERMAN
    assert decode(text.encode("cp1252")) == text


def test_a_declared_encoding_wins_over_detection() -> None:
    text = "Привет"
    assert decode(text.encode("koi8-r"), declared="koi8-r") == text
    assert decode(GERMAN.encode("cp1252"), declared="no-such-encoding") == GERMAN


def test_lines_end_with_a_line_feed() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_a_byte_order_mark_alone_is_an_empty_text() -> None:
    assert decode(b"\xef\xbb\xbf") == ""


def test_one_broken_byte_does_not_change_the_encoding() -> None:
    data = JAPANESE.encode()
    assert decode(data[:30] + data[31:])[60:] in JAPANESE * 2


@pytest.mark.parametrize(
    "data",
    [
        b"text with a null\0 byte",
        b"\x7fELF\x02\x01\x01" + bytes(range(1, 32)) * 10,
        random.Random(0).randbytes(5_000),  # noqa: S311 - no secret
        b"\x01\x02\x03" * 100,
    ],
)
def test_a_binary_file_is_refused(data: bytes) -> None:
    with pytest.raises(ParsingError, match="binary file"):
        decode(data)
