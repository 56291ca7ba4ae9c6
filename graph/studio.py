"""The graph that ``langgraph.json`` names: what LangGraph Studio and the LangGraph API serve."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial

from starlette.applications import Starlette

from backends.connections import connect
from backends.tracing import start_tracing
from errors import TandemError
from graph.builder import RagGraph, build_graph
from indexer.freshness import unwatched_freshness
from indexer.manifest import Manifest
from indexer.replacing import hide_unsettled
from settings import load_settings

_opened: Future[RagGraph] = Future()


@contextlib.asynccontextmanager
async def _backends(_: Starlette) -> AsyncIterator[None]:
    """The backends, open for as long as the API server runs.

    Raises:
        TandemError: the settings, the data folder or the store cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        # In threads: they read files and import modules, which the API server refuses in its loop.
        settings = await asyncio.to_thread(load_settings)
        tracing = await asyncio.to_thread(start_tracing, settings.phoenix)
        stack.push_async_callback(tracing.aclose)
        backends = await asyncio.to_thread(connect, settings)
        stack.push_async_callback(backends.aclose)
        await backends.store.open()
        manifest = Manifest(settings.data_dir, backends.store.collection_name)
        stack.push_async_callback(manifest.aclose)
        await hide_unsettled(manifest, backends.store.visibility)
        _opened.set_result(build_graph(backends, partial(unwatched_freshness, manifest)))
        yield


app = Starlette(lifespan=_backends)
"""Without routes: the API server runs the lifespan of such an application, and of nothing else."""


class RunFailed(RuntimeError):
    """A TandemError with its message, which the API server tells only of built-in errors."""


@contextlib.asynccontextmanager
async def graph() -> AsyncIterator[RagGraph]:
    """The graph of this machine's settings. The API server enters it for every run and request.

    It does so even before it has started, for runs that it did not finish the last time.

    Raises:
        RunFailed: what the run raised on purpose.
    """
    opened = await asyncio.shield(asyncio.wrap_future(_opened))
    try:
        yield opened
    except TandemError as exc:
        raise RunFailed(str(exc)) from exc
