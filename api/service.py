"""The running service: what the routers share."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.connections import Backends, connect
from backends.embeddings import EmbeddingModel
from errors import TandemError
from graph.builder import RagGraph, build_graph
from graph.context import RagContext
from indexer.manifest import Manifest
from indexer.sync import Progress, SyncReport, sync
from settings import EmbeddingSettings, Settings

log = logging.getLogger("tandem")


@dataclass(slots=True)
class Indexing:
    """Syncs folders for the service, one sync at a time, and remembers how the last one went."""

    backends: Backends
    manifest: Manifest
    progress: Progress | None = None
    reindexed: Progress | None = None
    """How far the index is that is being built beside this one."""
    report: SyncReport | None = None
    error: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever syncs, or puts another index in this one's place."""
    follow: Callable[[], Awaitable[None]] | None = None
    """Called before a sync: another process may have put another index in this one's place."""

    async def run(
        self, paths: Sequence[Path], on_progress: Callable[[Progress], None] | None = None
    ) -> SyncReport:
        """Bring the index in line with the paths.

        Raises:
            TandemError: the sync could not be finished; what was stored by then stays.
        """

        def advance(progress: Progress) -> None:
            self.progress = progress
            if on_progress is not None:
                on_progress(progress)

        if self.follow is not None:
            await self.follow()
        async with self.turn:
            try:
                self.error = ""
                self.report = await sync(
                    paths,
                    store=self.backends.store,
                    embeddings=self.backends.embeddings,
                    sparse=self.backends.sparse,
                    manifest=self.manifest,
                    max_file_bytes=self.backends.settings.max_file_bytes,
                    on_progress=advance,
                )
            except TandemError as exc:
                self.error = str(exc)
                raise
            finally:
                self.progress = None
            return self.report

    async def run_roots(self) -> None:
        """Sync the configured roots; a failure is logged and shown, the service goes on."""
        try:
            report = await self.run(self.backends.settings.roots)
        except TandemError as exc:
            log.error("indexing stopped: %s", exc)  # noqa: TRY400 - a user's error, no traceback
        else:
            log.info("%s", report.summary())


@dataclass(slots=True)
class Service:
    """A graph bound to open backends, and the state that outlives a request.

    Backends, graph and manifest belong to one index; ``switch`` replaces them together.
    """

    settings: Settings
    backends: Backends
    graph: RagGraph
    indexing: Indexing
    token: str
    """Known to this machine's user alone; it allows what reads the file system."""
    opened: contextlib.AsyncExitStack
    """What is closed when the service ends."""

    def context(self) -> RagContext:
        """The knobs of a run as the settings have them."""
        return RagContext.of(self.settings)

    def switch(self, backends: Backends, manifest: Manifest) -> None:
        """Answer from another index from now on; runs under way end on the one they began with."""
        self.backends, self.graph = backends, build_graph(backends)
        self.indexing.backends, self.indexing.manifest = backends, manifest
        self.opened.push_async_callback(manifest.aclose)

    async def reopen(self, embeddings: EmbeddingModel, chosen: EmbeddingSettings) -> None:
        """Answer from the index that the alias stands for now, with this model if it fits."""
        store = self.backends.store.beside(None, embeddings)
        await store.open()
        manifest = await Manifest.open(self.settings.data_dir, store.collection_name)
        self.switch(self.backends.with_index(store, embeddings, chosen), manifest)

    async def follow(self) -> None:
        """Reopen where another process has flipped the alias. While a sync runs: not now."""
        if self.indexing.turn.locked():
            return
        async with self.indexing.turn:
            store = self.backends.store
            live = await store.live()
            if live not in (None, store.collection_name):
                log.warning("Another process has put the index %s in the place of this one.", live)
                await self.reopen(self.backends.embeddings, self.backends.settings.embeddings)


@contextlib.asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every backend, and close them at the end.

    Raises:
        TandemError: the data folder or the store cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        backends = connect(settings)
        stack.push_async_callback(backends.aclose)
        await backends.store.open()
        manifest = await Manifest.open(settings.data_dir, backends.store.collection_name)
        stack.push_async_callback(manifest.aclose)
        service = Service(
            settings=settings,
            backends=backends,
            graph=build_graph(backends),
            indexing=Indexing(backends, manifest),
            token=secrets.token_urlsafe(32),
            opened=stack,
        )
        service.indexing.follow = service.follow
        yield service


@contextlib.asynccontextmanager
async def background(name: str, work: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Hold a task for as long as the block runs, then cancel it and wait for its end."""
    work.set_name(name)
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
