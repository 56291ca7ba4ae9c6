"""The parts of a question that asks several things, told apart by its punctuation and its words.

A search for two things at once finds passages about one of them, or about both and neither well.
"""

import re
from typing import NamedTuple

from backends.extractive.follow_up import stand_alone
from backends.extractive.terms import stems
from backends.reader import Turn

MAX_PARTS = 3
"""Searched at once; a question of more parts is one about something larger."""

_ASKING = (
    r"(?:(?:in|on|at|by|to|for|from|of|with|under|since)\s+)?"
    r"(?:how|what|when|where|which|who|whom|whose|why)|"
    r"(?:is|are|was|were|does|do|did|can|could|should|will|would)"
)
_BETWEEN = re.compile(
    rf"(?<=[?？;；])\s*|[,;]?\s+(?:and|or|but|as well as)(?:\s+also)?\s+(?=(?:{_ASKING})\b)"
    r"|,\s+(?=(?:how|what|why)\b)",  # after a comma alone, the other words begin relative clauses
    re.IGNORECASE,
)
_ASKS = re.compile(rf"(?:{_ASKING})\b|.*[?？]$", re.IGNORECASE | re.DOTALL)


class Part(NamedTuple):
    """One of the things that a question asks."""

    said: str
    """As it stands in the question."""
    alone: str
    """With what it refers to: it is searched and read by these words."""


def parts(question: str) -> list[Part]:
    """Two or three questions; none where only one thing is asked.

    What a later part refers back to is taken from the part before it.
    """
    line = " ".join(question.split())  # the expression takes its time over long runs of spaces
    clauses = [clause.strip(" ,;") for clause in _BETWEEN.split(line) if clause]
    clauses = [clause for clause in clauses if stems(clause)]
    if not (2 <= len(clauses) <= MAX_PARTS and all(map(_ASKS.match, clauses))):
        return []
    found = [Part(clauses[0], clauses[0])]
    for clause in clauses[1:]:
        before = Turn(question=found[-1].alone, answer="")
        found.append(Part(clause, stand_alone(clause, [before])))
    return found
