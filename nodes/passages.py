"""Found passages made fit for a reader: what says the same is read once."""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import zip_longest

from langchain_core.documents import Document

_WORD = re.compile(r"\w+")
_SHINGLE = 3
"""Words in a row; texts are compared by the shingles they share (Broder, 1997)."""
_LEAST_ALIKE = 0.9
"""The part of all their shingles that two texts share from which they are near-duplicates."""
_DECISIVE = re.compile(r"\d|^(?:no|not|never|none|without|cannot)$")
"""Words that make two otherwise equal texts say different things."""

Shingles = frozenset[tuple[str, ...]]


def distinct(found: Sequence[Document]) -> list[Document]:
    """The passages in their order, less those that nearly repeat a better one.

    The better one's metadata tells in ``also_in`` the other documents' sources. Two texts with
    different numbers or negations are no duplicates, however alike they are.
    """
    kept: list[_Text] = []
    sources: list[list[str]] = []
    for document in found:
        text = _Text(document)
        same = next((place for place, other in enumerate(kept) if text.repeats(other)), None)
        if same is None:
            kept.append(text)
            sources.append([])
        else:
            sources[same] += [document.metadata.get("source") or "", *_also_in(document)]
    return [_mentioning(text.document, others) for text, others in zip(kept, sources, strict=True)]


def in_turn(rankings: Sequence[Sequence[Document]]) -> list[Document]:
    """Several searches' passages as one ranking: the best of each, then the second of each, ...

    What two searches found stands where the first of them has it.
    """
    found: dict[str | None, Document] = {}
    for documents in zip_longest(*rankings):
        for document in filter(None, documents):
            found.setdefault(document.id, document)
    return list(found.values())


class _Text:
    """A passage, as it is compared. Most differ in a number already, and need no shingles."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._words = _WORD.findall(document.page_content.casefold())
        self._decisive = frozenset(filter(_DECISIVE.search, self._words))

    def repeats(self, other: "_Text") -> bool:
        return self._decisive == other._decisive and _are_alike(self._shingles, other._shingles)

    @cached_property
    def _shingles(self) -> Shingles:
        size = min(_SHINGLE, len(self._words))
        starts = range(len(self._words) - size + 1)
        return frozenset(tuple(self._words[start : start + size]) for start in starts)


def _are_alike(one: Shingles, other: Shingles) -> bool:
    shared = len(one & other)
    return shared >= _LEAST_ALIKE * (len(one) + len(other) - shared)


def _also_in(document: Document) -> list[str]:
    """The other documents that an earlier comparison found for it."""
    return list(document.metadata.get("also_in") or [])


def _mentioning(document: Document, sources: Sequence[str]) -> Document:
    own = document.metadata.get("source")
    found = dict.fromkeys([*_also_in(document), *sources])
    others = [source for source in found if source and source != own]
    metadata = {**document.metadata, "also_in": others}
    return Document(document.page_content, id=document.id, metadata=metadata)
