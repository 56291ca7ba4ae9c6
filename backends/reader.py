"""What grades passages, rewrites queries and answers: the protocol that both readers follow.

The language model is one reader (``nodes.reading``), the extractive reader is the other
(``backends.extractive.reader``). The graph does not know which one it drives.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from typing_extensions import TypedDict


class Passage(TypedDict):
    """A retrieved piece of a document: plain values, as they travel in the state and to clients."""

    id: str
    """The point's id in the vector store, a UUID."""
    text: str
    """The text exactly as it stands in the document."""
    source: str
    """The document: its root's name and its path below it, e.g. ``docs/design.md``."""
    also_in: list[str]
    """Other documents that say nearly the same; their passages were left out."""
    title: str
    heading: str
    """The headings above the passage, joined by `` > ``; empty where there are none."""
    page: int | None
    """The page it starts on, from 1, where the format has pages."""
    start_line: int | None
    end_line: int | None
    """Its lines in the file, from 1, inclusive, where the format has lines."""
    score: float
    """The retrieval score; comparable within one search only."""
    relevance: float | None
    """The grade: a probability, or None where it is not (yet) known."""


class Turn(TypedDict):
    """An earlier question of a conversation, and its answer."""

    question: str
    """As it stands alone."""
    answer: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what a model thinks before it answers: shown apart, never part of the answer."""

    text: str


Piece = str | Thought
"""What an answer comes in."""


class Rewriting(NamedTuple):
    """What a reader would search for next."""

    queries: list[str]
    """To be searched for at once, the most promising first; none where nothing new comes to it."""
    missing: str = ""
    """What was found in vain lacks, in a few words; empty where the reader cannot say."""


class Statement(NamedTuple):
    """A sentence of an answer that is to be checked."""

    text: str
    numbers: Sequence[int]
    """Of the passages that are to say so, from 1."""


class Reader(Protocol):
    """Grades, rewrites, answers and verifies. Passages are cited by their number, from 1."""

    @property
    def name(self) -> str:
        """``extractive``, or the model's id as its server reports it."""
        ...

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The probability that each passage helps to answer; None where the reply is unreadable.

        Raises:
            UnavailableError: the model behind the reader does not answer.
        """
        ...

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        """A follow-up question as it would be asked without the conversation before it.

        Raises:
            UnavailableError: the model behind the reader does not answer.
        """
        ...

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> Rewriting:
        """Other search queries for the question: one, or one for each of its parts.

        ``tried`` are the queries already used; ``passages`` what they found in vain.

        Raises:
            UnavailableError: the model behind the reader does not answer.
        """
        ...

    async def verify(
        self, question: str, passages: Sequence[Passage], statements: Sequence[Statement]
    ) -> list[float | None]:
        """The probability of each statement that the passages of its numbers say so.

        ``passages`` are those that the answer was made from; None where the reply is unreadable.

        Raises:
            UnavailableError: the model behind the reader does not answer.
        """
        ...

    def answer(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[Piece]:
        """The answer in pieces, with markers like ``[1]``; none but thoughts means: not found.

        Raises:
            UnavailableError: the model does not answer, or stopped in the middle.
        """
        ...
