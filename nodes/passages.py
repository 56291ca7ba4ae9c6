"""Found passages made fit for a reader: what says the same is read once."""

import re
from collections.abc import Sequence
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
    kept: list[tuple[Document, Shingles, frozenset[str]]] = []
    sources: list[list[str]] = []
    for document in found:
        words = _WORD.findall(document.page_content.casefold())
        shingles, decisive = _shingles(words), frozenset(filter(_DECISIVE.search, words))
        same = next(
            (
                place
                for place, (_, others, numbers) in enumerate(kept)
                if numbers == decisive and _are_alike(shingles, others)
            ),
            None,
        )
        if same is None:
            kept.append((document, shingles, decisive))
            sources.append([])
        else:
            sources[same] += [document.metadata.get("source") or "", *_also_in(document)]
    return [
        _mentioning(document, others)
        for (document, _, _), others in zip(kept, sources, strict=True)
    ]


def in_turn(rankings: Sequence[Sequence[Document]]) -> list[Document]:
    """Several searches' passages as one ranking: the best of each, then the second of each, ...

    What two searches found stands where the first of them has it.
    """
    found: dict[str | None, Document] = {}
    for documents in zip_longest(*rankings):
        for document in filter(None, documents):
            found.setdefault(document.id, document)
    return list(found.values())


def _shingles(words: Sequence[str]) -> Shingles:
    size = min(_SHINGLE, len(words))
    return frozenset(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


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
