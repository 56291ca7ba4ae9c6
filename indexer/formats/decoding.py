"""Bytes of a file as text."""

import codecs
import re
from contextlib import suppress
from itertools import islice

from errors import ParsingError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARKS = frozenset({b"", *(mark for mark, _ in _MARKS)})
"""What a file holds in which nothing was written: nothing, or a byte order mark."""
_SAMPLE = 65_536
"""Bytes that the encoding is told from: detection is slow, and more do not change its mind."""
_SAMPLE_LINES = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_CONTROL_SHARE = 0.005
_MAX_BROKEN_SHARE = 0.05
_CANDIDATES = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
"""What people still have files in. Among all encodings that exist, short texts fit rarer ones."""
_RUN = re.compile(rb"[\x80-\xff]+")
_MAX_RUN = 1.6
"""Bytes that are not ASCII in a row, on average; other scripts have whole words of them."""
_NOT_WESTERN = re.compile(r"[^\W\d_][¡-¿×÷][^\W\d_]|[¹³¿ºª¼¾][^\W\d_]{2}|[šžŠŽþð]|\w[¹³¿]\b")
"""What Central European, Baltic and Turkish words turn into."""
_MIN_NULL_SHARE = 0.1
"""Of the high bytes of UTF-16: those of spaces and line ends, whatever the script."""
_MOST_NULL_SHARE = 0.9
"""Of the high bytes of UTF-16 in English."""


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text of a file, lines ending with ``\\n``, told by its byte order mark, else as UTF-8,
    else as the file itself declares, else by detection.

    Raises:
        ParsingError: it is a binary file, or its encoding cannot be told.
    """
    text = _marked(data)
    if text is None and b"\0" in data:
        text = _wide(data)
    elif text is None:
        text = _unmarked(data, declared)
    sample = text[:_SAMPLE]
    if len(_CONTROL.findall(sample)) > _MAX_CONTROL_SHARE * len(sample):
        raise ParsingError("it is a binary file: it holds control characters")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _marked(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    return None


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: every other byte is often null, and the ones between never are."""
    sample = data[:_SAMPLE]
    nulls = sample[::2].count(0), sample[1::2].count(0)
    rest = sample.replace(b"\0", b"").decode("latin-1")
    # What is ASCII but for nulls is a damaged text, unless every second byte is one.
    is_ascii = rest.isascii() and not _CONTROL.search(rest)
    least = _MOST_NULL_SHARE if is_ascii else _MIN_NULL_SHARE
    if min(nulls) == 0 and max(nulls) >= least * len(sample) / 2:
        with suppress(UnicodeDecodeError):
            return data.decode("utf-16-le" if nulls[1] else "utf-16-be")
    raise ParsingError("it is a binary file: it holds null bytes")


def _unmarked(data: bytes, declared: str | None) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    # A few broken bytes in UTF-8 are damage; most of them would mean another encoding.
    text = data.decode("utf-8", "replace")
    other = len(text) - len(text.encode("ascii", "ignore"))
    if text.count("\ufffd") <= _MAX_BROKEN_SHARE * other:
        return text
    if declared:
        with suppress(LookupError):  # an encoding nobody knows
            return data.decode(declared, "replace")
    return _detected(data)


def _detected(data: bytes) -> str:
    # Only what is not ASCII tells encodings apart, and what is would drown it.
    telling = (line for line in data.split(b"\n") if not line.isascii())
    sample = b"\n".join(islice(telling, _SAMPLE_LINES))[:_SAMPLE]
    if _is_western(sample):
        return data.decode("cp1252", "replace")
    from charset_normalizer import from_bytes  # slow to import, rarely needed

    best = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    if best is None:
        raise ParsingError("its text encoding cannot be told: save it as UTF-8")
    return data.decode(best.encoding, "replace")


def _is_western(sample: bytes) -> bool:
    """Whether it reads well as Windows-1252, for which the detector tends to take its neighbours:
    letters with accents stand alone among others, and no symbol stands within a word."""
    runs = _RUN.findall(sample)
    if sum(map(len, runs)) > _MAX_RUN * len(runs):
        return False
    try:
        return not _NOT_WESTERN.search(sample.decode("cp1252"))
    except UnicodeDecodeError:
        return False
