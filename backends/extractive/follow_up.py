"""Follow-up questions without a language model: what they leave out is taken from the last one."""

import re
from collections.abc import Sequence

from backends.extractive.terms import stems
from backends.reader import Turn

_REFERRING = re.compile(
    r"\b(?:he|she|it|they|him|her|his|hers|its|them|their|theirs|this|that|these|those|there|"
    r"then|former|latter|same|one|ones)\b",
    re.IGNORECASE,
)
_CONTINUING = re.compile(r"\W*(?:and|but|or|so|also|what about|how about)\b", re.IGNORECASE)
_WORD = re.compile(r"\w[\w'.-]*\w|\w")
_FEW_WORDS = 2
"""With fewer words that mean something, a question says too little to be asked alone."""


def stand_alone(question: str, conversation: Sequence[Turn]) -> str:
    """The question, with the last one's names, or else its words, where it refers back.

    It is searched and read by its words, so that they are there matters and not how they read.
    """
    if not conversation or not _refers_back(question):
        return question
    before = conversation[-1]["question"]
    names = [word for word in _WORD.findall(before)[1:] if word[0].isupper() or word[0].isdigit()]
    words = names or [word for word in _WORD.findall(before) if stems(word)]
    said = stems(question)
    missing = [word for word in dict.fromkeys(words) if stems(word) - said]
    return f"{question} {' '.join(missing)}".strip() if missing else question


def _refers_back(question: str) -> bool:
    telling = [word for word in _WORD.findall(question) if stems(word)]
    return (
        len(telling) < _FEW_WORDS
        or _REFERRING.search(question) is not None
        or _CONTINUING.match(question) is not None
    )
