"""The real graph with the real client of the language model, for a server that a test scripts."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain_core.documents import Document

from backends.connections import Backends
from backends.extractive.reader import ExtractiveReader
from backends.language_model import LanguageModel
from graph.builder import RagGraph, build_graph
from settings import GradingSettings, LanguageModelSettings, Settings
from tests.fakes import WordEmbeddings, as_document, passage
from tests.language_model_server import Reply, batch

BEES = passage("Bees fly as fast as 25 km/h.")
ANTS = passage("Ants carry fifty times their weight.")


class Store:
    """Finds the same two passages, whatever is asked."""

    async def search(self, query: str, **_: object) -> list[Document]:
        return [as_document(BEES), as_document(ANTS)]


@asynccontextmanager
async def graph_on(*urls: str, speculate: bool = False, **changes: Any) -> AsyncIterator[RagGraph]:
    """The real graph with the real client of the language model."""
    llm = LanguageModelSettings(base_urls=list(urls), **changes)
    grading = GradingSettings(speculate=speculate)
    backends = Backends(
        settings=Settings(_env_file=None, llm=llm, grading=grading),
        embeddings=WordEmbeddings(),
        sparse=cast(Any, None),
        store=cast(Any, Store()),
        extractive=ExtractiveReader(WordEmbeddings()),
        language_model=LanguageModel(llm),
    )
    try:
        yield build_graph(backends)
    finally:
        assert backends.language_model is not None
        await backends.language_model.aclose()


def choices(*probable: float) -> Reply:
    """Grades, or a verdict, with their probabilities of yes."""
    logprobs = [{"yes": math.log(p), "no": math.log(1 - p)} for p in probable]
    return batch(*["yes"] * len(probable), logprobs=logprobs)
