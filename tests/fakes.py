"""Stand-ins at the outermost boundary: readers, embeddings and stores that do as told."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from langchain_core.documents import Document

from backends.embeddings import EmbeddingFingerprint, EmbeddingModel
from backends.reader import Passage, Piece, Rewriting, Statement, Thought, Turn
from errors import TandemError

DIMENSION = 256


class WordEmbeddings(EmbeddingModel):
    """Texts that share words have similar vectors: enough to rank by, with nothing to load."""

    def __init__(self) -> None:
        self.name = "words"
        self.max_tokens = 256
        self.embedded: list[str] = []
        self.error: TandemError | None = None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def fingerprint(self) -> EmbeddingFingerprint:
        return EmbeddingFingerprint("words", "1", DIMENSION, "|")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.error is not None:
            raise self.error
        self.embedded += texts
        return [_bag(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embed_documents(list(texts))

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


def _bag(text: str) -> list[float]:
    vector = np.zeros(DIMENSION)
    for word in text.casefold().replace("?", " ").replace(".", " ").split():
        digest = hashlib.blake2b(word.encode(), digest_size=4).digest()
        vector[int.from_bytes(digest) % DIMENSION] += 1.0
    norm = float(np.linalg.norm(vector))
    return list(vector / norm if norm else vector)


def passage(text: str, **fields: object) -> Passage:
    """A passage with plausible values for what a test does not care about."""
    values: dict[str, object] = {
        "id": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "text": text,
        "source": "docs/a.md",
        "also_in": [],
        "title": "A",
        "heading": "",
        "page": None,
        "start_line": 1,
        "end_line": 1,
        "score": 1.0,
        "relevance": None,
    }
    return Passage(**{**values, **fields})  # type: ignore[typeddict-item]  # a test's own values


async def spoken(pieces: AsyncIterator[Piece]) -> list[str]:
    """What an answer says, piece by piece, without the thoughts."""
    return [piece async for piece in pieces if isinstance(piece, str)]


async def thought(pieces: AsyncIterator[Piece]) -> str:
    """What a model thinks before an answer."""
    return "".join([piece.text async for piece in pieces if isinstance(piece, Thought)])


def as_document(found: Passage) -> Document:
    """A passage as the store returns it."""
    metadata = {
        key: value for key, value in found.items() if key not in {"id", "text", "relevance"}
    }
    return Document(found["text"], id=found["id"], metadata=metadata)


@dataclass
class ScriptedReader:
    """Grades by a table, rewrites from a list, answers in given pieces; or raises."""

    grades: dict[str, float | None] = field(default_factory=dict)
    rewrites: list[str | Rewriting] = field(default_factory=list)
    """What it would search for next; a text is a single query."""
    pieces: list[Piece] = field(default_factory=list)
    error: TandemError | None = None
    fail_after: int = 0
    """Pieces of the answer that arrive before the error."""
    name: str = "scripted"
    graded: list[str] = field(default_factory=list)
    alone: dict[str, str] = field(default_factory=dict)
    """Follow-up questions as they stand alone."""
    followed: list[tuple[str, list[str]]] = field(default_factory=list)
    supports: dict[str, float | None] = field(default_factory=dict)
    """The support of claims that are not fully supported."""
    verified: list[tuple[str, list[int]]] = field(default_factory=list)
    asked: int = 0

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.graded += [found["text"] for found in passages]
        return [self.grades.get(found["text"], 0.0) for found in passages]

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        self.followed.append((question, [turn["question"] for turn in conversation]))
        if self.error is not None:
            raise self.error
        return self.alone.get(question, question)

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> Rewriting:
        if self.error is not None:
            raise self.error
        found = self.rewrites.pop(0) if self.rewrites else Rewriting([])
        return Rewriting([found]) if isinstance(found, str) else found

    async def verify(
        self, question: str, passages: Sequence[Passage], statements: Sequence[Statement]
    ) -> list[float | None]:
        self.verified += [(text, list(numbers)) for text, numbers in statements]
        if self.error is not None:
            raise self.error
        return [self.supports.get(text, 1.0) for text, _ in statements]

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[Piece]:
        self.asked += 1
        for position, piece in enumerate(self.pieces):
            if self.error is not None and position == self.fail_after:
                raise self.error
            yield piece
        if self.error is not None:
            raise self.error
