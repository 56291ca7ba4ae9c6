"""The graph that ``langgraph.json`` names: what LangGraph Studio and the LangGraph API serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from backends.connections import Backends, connect
from graph.builder import RagGraph, build_graph
from settings import load_settings


@cache
def _backends() -> Backends:
    """Opened once for the life of the API server, which asks for the graph again for each run."""
    return connect(load_settings())


@asynccontextmanager
async def graph() -> AsyncIterator[RagGraph]:
    """The graph of this machine's settings."""
    backends = await asyncio.to_thread(_backends)
    await backends.store.open()
    yield build_graph(backends)
