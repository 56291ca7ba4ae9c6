"""From markers in an answer to citations that quote the passages."""

import re
from collections.abc import Sequence
from functools import cached_property

from backends.reader import Passage
from backends.sentences import sentences
from graph.citation import Citation

_MARKERS = re.compile(r"\s?\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_WORD = re.compile(r"\w+")


def cite(answer: str, passages: Sequence[Passage]) -> tuple[str, list[Citation]]:
    """The answer without markers that point at nothing, and a citation for each claim and marker.

    A claim is what stands between a marker and the sentence or marker before it. Its quote is a
    literal piece of the passage: the claim itself where the passage contains it, else the
    passage's sentence that shares most of the claim's words.
    """
    located = [_Located(passage) for passage in passages]
    citations: list[Citation] = []
    kept: list[str] = []
    position, claim = 0, ""
    for match in _MARKERS.finditer(answer):
        before = answer[position : match.start()]
        claim = _last_sentence(before) or claim
        markers = [int(number) for number in match.group(1).split(",")]
        valid = [marker for marker in markers if 1 <= marker <= len(passages)]
        kept += [before, *(f" [{marker}]" for marker in valid)]
        citations += [_citation(marker, located[marker - 1], claim) for marker in valid]
        position = match.end()
    kept.append(answer[position:])
    unique = {(c["marker"], c["quote"]): c for c in citations}
    return "".join(kept).strip(), list(unique.values())


def _last_sentence(text: str) -> str:
    spans = sentences(text)
    return text[slice(*spans[-1])].strip() if spans else ""


class _Located:
    """A passage and its sentences, which are found once however often it is cited."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage

    @cached_property
    def _sentences(self) -> list[tuple[str, set[str]]]:
        """As they stand in the text, and the words of each."""
        text = self.passage["text"]
        return [(text[start:end], _words(text[start:end])) for start, end in sentences(text)]

    def quote(self, claim: str) -> str:
        """The piece of the text that the claim rests on, as it stands there."""
        text = self.passage["text"]
        if claim and claim in text:
            return claim
        words = _words(claim)
        if not self._sentences:
            return text
        return max(self._sentences, key=lambda each: _overlap(words, each[1]))[0]


def _citation(marker: int, located: _Located, claim: str) -> Citation:
    passage, quote = located.passage, located.quote(claim)
    start_line, end_line = _lines(passage, quote)
    return Citation(
        marker=marker,
        id=passage["id"],
        source=passage["source"],
        title=passage["title"],
        heading=passage["heading"],
        page=passage["page"],
        start_line=start_line,
        end_line=end_line,
        quote=quote,
    )


def _lines(passage: Passage, quote: str) -> tuple[int | None, int | None]:
    """The quote's own lines where the passage holds its file's lines, else its passage's."""
    first, last = passage["start_line"], passage["end_line"]
    if first is None or last is None or last - first != passage["text"].count("\n"):
        return first, last
    start = first + passage["text"][: passage["text"].index(quote)].count("\n")
    return start, start + quote.count("\n")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _overlap(claim: set[str], sentence: set[str]) -> float:
    """Shared words over the sentence's size damped by its root: long sentences win no free ride."""
    return len(claim & sentence) / (len(sentence) ** 0.5 or 1.0)
