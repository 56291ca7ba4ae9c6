"""The graph over a scripted store and a scripted reader, and what a run of it told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from langchain_core.documents import Document

from backends.connections import Backends
from backends.extractive.reader import ExtractiveReader
from backends.filters import SearchFilters
from backends.reader import Passage
from graph import builder
from graph.builder import RagGraph, build_graph
from graph.context import RagContext
from graph.events import run_events
from graph.state import RagOutput
from graph.step import Event
from settings import Settings
from tests.fakes import ScriptedReader, WordEmbeddings, as_document, passage

BEES = passage("Bees fly as fast as 25 km/h. A queen lays 2,000 eggs a day.")


ANTS = passage("Ants carry fifty times their weight.")


@dataclass
class ScriptedStore:
    """Finds the same passages whatever is asked, or what is scripted for a query."""

    found: Sequence[Passage] = ()
    by_query: dict[str, list[Passage]] = field(default_factory=dict)
    queries: list[tuple[str, str]] = field(default_factory=list)
    filters: list[SearchFilters | None] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    pause_s: float = 0.0

    async def search(
        self, query: str, *, k: int, filters: SearchFilters | None = None, mode: str = "hybrid"
    ) -> list[Document]:
        self.queries.append((query, mode))
        self.filters.append(filters)
        await asyncio.sleep(self.pause_s)
        if mode in self.errors:
            raise self.errors[mode]
        return [as_document(p) for p in self.by_query.get(query, self.found)[:k]]


def rag(
    monkeypatch: pytest.MonkeyPatch, store: ScriptedStore, reader: ScriptedReader | None = None
) -> RagGraph:
    """The real graph over a scripted store and, instead of a language model, a scripted reader."""
    monkeypatch.setattr(builder, "language_model_reader", lambda backends: reader)
    return build_graph(backends(store))


def backends(store: ScriptedStore) -> Backends:
    return Backends(
        settings=Settings(_env_file=None),
        embeddings=WordEmbeddings(),
        sparse=cast(Any, None),
        store=cast(Any, store),
        extractive=ExtractiveReader(WordEmbeddings()),
        language_model=None,
    )


async def run(graph: RagGraph, question: str = "How fast do bees fly?", **knobs: Any) -> RagOutput:
    return cast(RagOutput, await graph.ainvoke({"question": question}, context=RagContext(**knobs)))


def steps_of(events: Sequence[Event], name: str) -> list[dict[str, Any]]:
    """What each step of this name told when it was done, its name, state and time left out."""
    told = [e["data"] for e in events if e["event"] == "step" and e["data"]["step"] == name]
    done = [data for data in told if data.get("state") != "started"]
    return [{k: v for k, v in data.items() if k not in ("step", "state", "ms")} for data in done]


async def finished(graph: RagGraph) -> list[dict[str, Any]]:
    """What each node of a run tells when it has ended."""
    return [
        event["data"]
        async for event in run_events(graph, "How fast do bees fly?", RagContext())
        if event["event"] == "step" and event["data"]["state"] == "finished"
    ]
