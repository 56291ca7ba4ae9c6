"""An answer as claims: its sentences, each with the markers that belong to it."""

import re
from typing import NamedTuple

from backends.sentences import is_heading, sentences

_MARKER = re.compile(r"\s?\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_OPEN_MARKER = re.compile(r"\[(?:\d[\d,\s]*)?$")
_BEGUN = re.compile(r"\W*\w+\W")
"""A first word that is complete: whether the sentence before it has ended may depend on it."""
_BOUNDARY = re.compile(r"[.!?…؟।。！？\n]")
"""Where a sentence may end: without one there is nothing to look for."""
_LONGEST_MARKER = 64
"""Characters; what is open for longer is no marker."""


class Claim(NamedTuple):
    """A sentence of an answer."""

    start: int
    """In characters of the answer; the markers after the sentence are part of it."""
    end: int
    text: str
    """Without markers, on one line."""
    markers: tuple[int, ...]


class _Marker(NamedTuple):
    position: int
    """In the text without markers."""
    start: int
    """In the text with them, the space before it left out."""
    end: int
    length: int
    """With that space."""
    numbers: list[int]


_NOTHING = Claim(0, 0, "", ())


def claims(answer: str) -> list[Claim]:
    """What an answer claims, in order; headings and what holds no word are no claims.

    Markers belong to the sentence that they follow, whether they stand before its full stop or
    after it.
    """
    return [claim for claim in _sentences(answer) if _says_something(claim.text)]


class ClaimReader:
    """The claims of an answer that is still being written."""

    def __init__(self) -> None:
        self._tail = ""
        self._start = 0  # of the tail, in the answer
        self._due = False  # a sentence may have ended, and what follows has not told yet

    def feed(self, piece: str) -> list[Claim]:
        """The claims that this piece shows to be complete: another sentence has begun."""
        self._tail += piece
        self._due = self._due or _BOUNDARY.search(piece) is not None
        if not self._due or piece.isalnum() or self._is_in_marker():
            return []
        self._due = not self._is_decided()
        *complete, last = _sentences(self._tail) or [_NOTHING]
        if not complete or not _BEGUN.match(last.text):
            return []
        finished = [self._placed(claim) for claim in complete]
        self._start += last.start
        self._tail = self._tail[last.start :]
        return [claim for claim in finished if _says_something(claim.text)]

    def finish(self) -> list[Claim]:
        """What is left when the answer ends."""
        rest = [self._placed(claim) for claim in _sentences(self._tail)]
        self._start += len(self._tail)
        self._tail = ""
        return [claim for claim in rest if _says_something(claim.text)]

    def _is_in_marker(self) -> bool:
        begin = max(0, len(self._tail) - _LONGEST_MARKER)
        return _OPEN_MARKER.search(self._tail, begin) is not None

    def _is_decided(self) -> bool:
        """Whether the word after the last possible end of a sentence is there."""
        after = max(match.end() for match in _BOUNDARY.finditer(self._tail))
        return _BEGUN.match(_MARKER.sub("", self._tail[after:]).rstrip()) is not None

    def _placed(self, claim: Claim) -> Claim:
        return claim._replace(start=claim.start + self._start, end=claim.end + self._start)


def without(answer: str, struck: list[Claim]) -> str:
    """The answer without these claims and the space that followed them."""
    kept: list[str] = []
    position = 0
    for claim in struck:
        kept.append(answer[position : claim.start])
        position = claim.end
        while position < len(answer) and answer[position].isspace():
            position += 1
    kept.append(answer[position:])
    return "".join(kept).strip()


def _sentences(text: str) -> list[Claim]:
    """Every sentence; found in the text without its markers, which would hide where one ends."""
    plain, markers = _unmarked(text)
    spans = sentences(plain)
    ends = [*(start for start, _ in spans[1:]), len(plain) + 1]
    begins = [-1, *(start for start, _ in spans[1:])]
    return [
        _claim(plain, span, [m for m in markers if begin < m.position <= end - 1], markers)
        for span, begin, end in zip(spans, begins, ends, strict=False)  # no spans: one end
    ]


def _unmarked(text: str) -> tuple[str, list[_Marker]]:
    """The text without markers, and where in it they stood."""
    parts: list[str] = []
    markers: list[_Marker] = []
    position = length = 0
    for match in _MARKER.finditer(text):
        parts.append(text[position : match.start()])
        length += match.start() - position
        start, end = match.start() + match[0].index("["), match.end()
        numbers = [int(number) for number in match[1].split(",")]
        markers.append(_Marker(length, start, end, len(match[0]), numbers))
        position = match.end()
    parts.append(text[position:])
    return "".join(parts), markers


def _claim(plain: str, span: tuple[int, int], own: list[_Marker], markers: list[_Marker]) -> Claim:
    start, end = span
    before = sum(marker.length for marker in markers if marker.position <= start)
    within = sum(marker.length for marker in markers if start < marker.position < end)
    return Claim(
        min(start + before, *(marker.start for marker in own)) if own else start + before,
        max(end + before + within, *(marker.end for marker in own)) if own else end + before,
        " ".join(plain[start:end].split()),
        tuple(number for marker in own for number in marker.numbers),
    )


def _says_something(text: str) -> bool:
    return not is_heading(text) and any(letter.isalpha() for letter in text)
