"""Search queries: which of them are the same, and which are left to try."""

import re
import unicodedata
from collections.abc import Iterable

MAX_QUERIES = 3
"""Searched for at once: a question of more parts is one about something larger."""


def normalised(query: str) -> str:
    """Queries that differ only in case, spacing and punctuation find the same."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", query).casefold())
    return " ".join(words)


def untried(queries: Iterable[str], tried: Iterable[str]) -> list[str]:
    """The queries that nobody has searched for yet, each once, in their order."""
    known = {"", *map(normalised, tried)}
    new: list[str] = []
    for query in queries:
        if (key := normalised(query)) not in known:
            known.add(key)
            new.append(query)
    return new
