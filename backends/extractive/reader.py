"""The extractive reader: relevance and answers without a language model.

What answers on a bare machine, and what takes over when the language model's machine sleeps. It
judges with the embedding model and the question's own words, and answers with the documents' own
sentences. It cannot combine or paraphrase, and says so.
"""

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from numpy.typing import NDArray

from backends.embeddings import EmbeddingModel
from backends.extractive.evidence import (
    Evidence,
    Question,
    Quoted,
    Reading,
    candidates,
    choose_sentences,
    read_evidence,
    weigh_evidence,
)
from backends.extractive.follow_up import stand_alone
from backends.extractive.parts import Part, parts
from backends.queries import untried
from backends.reader import Passage, Rewriting, Statement, Turn
from backends.sentences import sentences
from errors import EmbeddingsUnavailable

_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_BRACKETED_NUMBER = re.compile(r"\[(?=\d)")
_WORDS = re.compile(r"\w+")
RELEVANT = 0.5
"""The probability from which a passage counts: the readings are calibrated."""
MISSING = "Not found in the documents:"
"""Before a part of a question that no passage answers."""
_REMEMBERED = 256
"""Readings kept, so that answering does not read again what grading has read."""


class ExtractiveReader:
    """Grades, rewrites, answers and verifies with an embedding model and the question's words."""

    name = "extractive"

    def __init__(self, embeddings: EmbeddingModel) -> None:
        self._embeddings = embeddings
        self._readings: OrderedDict[tuple[str, str], Reading] = OrderedDict()
        self._voice = Voice()

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float | None]:
        """The probability that each passage holds the answer, or that to a part of the question."""
        asked = [part.alone for part in parts(question)] or [question]
        readings = [await self._read(each, passages) for each in asked]
        return [max(reading.relevance for reading in row) for row in zip(*readings, strict=True)]

    async def stand_alone(self, question: str, conversation: Sequence[Turn]) -> str:
        """The question with what it leaves out, where it refers to the one before."""
        return stand_alone(question, conversation)

    async def rewrite(
        self, question: str, tried: Sequence[str], passages: Sequence[Passage]
    ) -> Rewriting:
        """The question's content words, then its names alone: what a person would try next."""
        return Rewriting(untried(Question.of(question).shorter(), tried)[:1])

    async def answer(self, question: str, passages: Sequence[Passage]) -> AsyncIterator[str]:
        """The sentences most likely to hold the answer, in the documents' order, each cited.

        Of a question that asks several things, what is not found is named at the end.
        """
        chosen, missing = await self._of_parts(parts(question), passages)
        if not chosen:
            missing = []
            chosen = choose_sentences(passages, await self._read(question, passages))
        extracts = [
            f"{_one_line(passages[quoted.passage]['text'][slice(*quoted.span)])}"
            f" [{quoted.passage + 1}]"
            for quoted in chosen
        ]
        extracts += [f"{MISSING} {part.said.rstrip('?？ ')}." for part in missing]
        async for message in self._voice.astream(question, extracts=extracts):
            yield message.text

    async def _of_parts(
        self, asked: Sequence[Part], passages: Sequence[Passage]
    ) -> tuple[list[Quoted], list[Part]]:
        """The sentences for each part, and the parts for which no passage is relevant."""
        chosen: set[Quoted] = set()
        missing: list[Part] = []
        for part in asked:
            readings = await self._read(part.alone, passages)
            if max(reading.relevance for reading in readings) < RELEVANT:
                missing.append(part)
            else:
                chosen.update(choose_sentences(passages, readings))
        return sorted(chosen), missing

    async def verify(
        self, question: str, passages: Sequence[Passage], statements: Sequence[Statement]
    ) -> list[float | None]:
        """1 for what a passage says word for word, else the cosine to its most similar sentence.

        None where embeddings are down and the words differ.
        """
        return [await self._support(passages, statement) for statement in statements]

    async def _support(self, passages: Sequence[Passage], statement: Statement) -> float | None:
        claim, numbers = statement
        if claim.startswith(MISSING):
            return None  # about the documents, and no statement of theirs
        cited = [passages[number - 1]["text"] for number in numbers]
        if any(_plain(claim) in _plain(text) for text in cited):
            return 1.0
        texts = [text[slice(*span)] for text in cited for span in sentences(text)]
        try:
            vectors = await self._embeddings.aembed_documents([claim, *texts])
        except EmbeddingsUnavailable:
            return None
        return _most_similar(np.asarray(vectors[0]), np.asarray(vectors[1:]))

    async def _read(self, question: str, passages: Sequence[Passage]) -> list[Reading]:
        """A reading of each passage; what was read for this question before is remembered."""
        new = [passage for passage in passages if (question, passage["id"]) not in self._readings]
        if new:
            for passage, seen in zip(new, await self.evidence(question, new), strict=True):
                self._readings[question, passage["id"]] = read_evidence(seen)
        readings = [self._readings[question, passage["id"]] for passage in passages]
        while len(self._readings) > _REMEMBERED:
            self._readings.popitem(last=False)
        return readings

    async def evidence(self, question: str, passages: Sequence[Passage]) -> list[Evidence]:
        """What is seen in each passage, before it is weighed."""
        asked = Question.of(question)
        spans = [candidates(asked, passage["text"]) for passage in passages]
        cosines = await self._cosines(question, passages, spans)
        return [
            weigh_evidence(asked, passage, of_passage, similar)
            for passage, of_passage, similar in zip(passages, spans, cosines, strict=True)
        ]

    async def _cosines(
        self,
        question: str,
        passages: Sequence[Passage],
        spans: Sequence[Sequence[tuple[int, int]]],
    ) -> list[NDArray[np.float64] | None]:
        """The cosine of the question with each sentence; None where embeddings are down."""
        texts = [
            passage["text"][slice(*span)]
            for passage, of_passage in zip(passages, spans, strict=True)
            for span in of_passage
        ]
        try:
            query = np.asarray(await self._embeddings.aembed_query(question))
            rows = np.asarray(await self._embeddings.aembed_documents(texts)).reshape(
                len(texts), -1
            )
        except EmbeddingsUnavailable:
            return [None] * len(passages)
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        cosines = rows @ query / np.where(norms > 0, norms, 1.0)
        ends = np.cumsum([len(of_passage) for of_passage in spans])
        return list(np.split(cosines, ends[:-1]))


def _plain(text: str) -> str:
    """Words alone: extracts lose their bullets and line ends on the way into an answer."""
    return " ".join(_WORDS.findall(text))


def _most_similar(vector: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    """The highest cosine of a vector with rows, from 0."""
    if not len(rows):
        return 0.0
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return max(0.0, float((rows @ vector / np.where(norms > 0, norms, 1.0)).max()))


def _one_line(extract: str) -> str:
    """An extract as running text, without its bullet, in which ``[1]`` is no citation's marker.

    A word joiner, which nobody sees, keeps bracket and number apart.
    """
    text = " ".join(_BULLET.sub("", extract).split())
    return _BRACKETED_NUMBER.sub("[\u2060", text)


class Voice(BaseChatModel):
    """Says given extracts as a chat model does, so that they stream and are traced like any."""

    @property
    def _llm_type(self) -> str:
        return "extractive"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        extracts: Sequence[str] = (),
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for position, extract in enumerate(extracts):
            text = extract if position == 0 else f" {extract}"
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
            if run_manager is not None:
                await run_manager.on_llm_new_token(text, chunk=chunk)
            yield chunk

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("Use astream: Tandem is asynchronous throughout.")
