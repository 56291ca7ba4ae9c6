"""The running service: what the routers share."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from api.admission import Admission
from api.indexing import Indexing
from api.keys import KeyRing
from backends.connections import Backends, connect
from backends.conversations.threads import Threads, open_threads
from backends.embeddings import EmbeddingModel
from backends.reader import Turn
from errors import PathError
from graph.builder import RagGraph, build_graph
from graph.context import RagContext
from graph.events import run_events
from graph.freshness import Freshness
from graph.question import owned
from graph.step import Event as RunEvent
from indexer.following import Follower, report_bug
from indexer.freshness import unwatched_freshness
from indexer.manifest import Manifest
from indexer.news import Event
from indexer.patience import patiently
from indexer.replacing import hide_unsettled
from indexer.watch import Pace
from settings import EmbeddingSettings, Settings, WatchSettings

log = logging.getLogger("tandem")


@dataclass(slots=True)
class Service:
    """A graph bound to open backends, and the state that outlives a request.

    Backends, graphs and manifest belong to one index; ``switch`` replaces them together.
    """

    settings: Settings
    backends: Backends
    threads: Threads
    indexing: Indexing
    follower: Follower
    token: str
    """Known to this machine's user alone; it allows what reads the file system."""
    keys: KeyRing
    """Those that others may show."""
    admission: Admission
    """How many runs there may be; each has a turn, whatever route it came by."""
    opened: contextlib.AsyncExitStack
    """What is closed when the service ends."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service is about to end: streams without an end of their own end then."""
    measured: Callable[[AsyncGenerator[RunEvent]], AsyncGenerator[RunEvent]] = field(
        default=lambda events: events
    )
    """Hands on the events of every run, and measures them on the way."""
    at_work: set["asyncio.Task[Any]"] = field(default_factory=set)
    """What goes on after the request that began it has been answered."""
    _graphs: dict[str, RagGraph] = field(default_factory=dict)
    """A tenant's own each, bound to a store that finds that tenant's passages alone."""

    def answer(
        self,
        question: object,
        context: RagContext,
        thread: str | None = None,
        *,
        tenant: str | None = None,
        conversation: Sequence[Turn] = (),
    ) -> AsyncGenerator[RunEvent]:
        """The events of a run; on a thread it is a turn of a conversation, after those before it.

        ``conversation`` is what was said before where the client keeps it, and not a thread.
        ``tenant`` is the caller's, never one that a request names; None: the settings' own.
        Threads of the same name are another conversation for each.

        Raises:
            TandemError: the question cannot be taken, there is no room for it, or a backend it
                needs does not answer.
        """
        return self.measured(self._answer(question, context, thread, tenant, conversation))

    async def _answer(
        self,
        question: object,
        context: RagContext,
        thread: str | None,
        tenant: str | None,
        conversation: Sequence[Turn],
    ) -> AsyncGenerator[RunEvent]:
        tenant = tenant or self.settings.tenant
        graph = self.graph_of(tenant)
        if thread is None:
            events = run_events(graph, question, context, conversation=conversation)
        else:
            thread = owned(thread, tenant)
            remembering = graph.copy({"checkpointer": self.threads.checkpointer})
            events = run_events(remembering, question, context, thread=thread)
        turn = self.threads.turn(thread) if thread else contextlib.nullcontext()
        async with self.admission.turn(turn), contextlib.aclosing(events):
            async for event in events:
                yield event

    @property
    def graph(self) -> RagGraph:
        """The graph of the settings' tenant."""
        return self.graph_of(self.settings.tenant)

    def graph_of(self, tenant: str) -> RagGraph:
        """The graph that answers from this tenant's documents."""
        if tenant not in self._graphs:
            backends = replace(self.backends, store=self.backends.store.for_tenant(tenant))
            self._graphs[tenant] = build_graph(backends, self.freshness)
        return self._graphs[tenant]

    @property
    def keys_needed(self) -> bool:
        """Whether only those are let in who show an API key.

        Where others can reach the service, removing the file of the keys must not let them in.
        """
        settings = self.settings
        if settings.require_keys or self.keys.in_force:
            return True
        return settings.open_to_others and not settings.allow_unauthenticated

    def context(self) -> RagContext:
        """The knobs of a run as the settings have them."""
        return RagContext.of(self.settings)

    async def freshness(self) -> Freshness:
        """How far the index is behind the folders."""
        return await freshness(self.follower)

    async def follow(self, paths: Sequence[Path]) -> AsyncGenerator[Event, None]:
        """Watches paths, and tells what comes of it until the service stops.

        The syncing is done by ``follower.run``, which whoever opened the service has running.
        """
        with self.follower.news.reading() as events:
            async with self.follower.following(paths) as folders:
                for folder in folders:
                    if folder.how != "waiting":  # else an event will tell
                        yield folder.event()
                while not self.stopping.is_set():
                    if (event := await _unless(self.stopping, events)) is not None:
                        yield event

    def switch(self, backends: Backends, manifest: Manifest) -> None:
        """Answer from another index from now on; runs under way end on the one they began with."""
        self.backends = backends
        self._graphs.clear()
        self.indexing.backends = backends
        self.indexing.manifest = self.follower.manifest = manifest
        self.opened.push_async_callback(manifest.aclose)

    async def reopen(self, embeddings: EmbeddingModel, chosen: EmbeddingSettings) -> None:
        """Answer from the index that the alias stands for now, with this model if it fits."""
        store = self.backends.store.beside(None, embeddings)
        await store.open()
        manifest = await Manifest.open(self.settings.data_dir, store.collection_name)
        await hide_unsettled(manifest, store.visibility)
        self.switch(self.backends.with_index(store, embeddings, chosen), manifest)

    async def keep_current(self) -> None:
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
async def open_service(
    settings: Settings, *, delays_s: Iterable[float] = ()
) -> AsyncIterator[Service]:
    """Open every backend, and close them at the end.

    ``delays_s`` are the waits between attempts at a vector store that does not answer.

    Raises:
        TandemError: the data folder or the store cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        backends = connect(settings)
        stack.push_async_callback(backends.aclose)
        await patiently(backends.store.open, delays_s=delays_s, on_pause=_tell_of_pause)
        manifest = await Manifest.open(settings.data_dir, backends.store.collection_name)
        stack.push_async_callback(manifest.aclose)
        await hide_unsettled(manifest, backends.store.visibility)
        indexing = Indexing(backends, manifest)
        stack.push_async_callback(indexing.aclose)
        follower = Follower(
            partial(indexing.run, wait=True),
            manifest,
            pace(settings.watch),
            apart_from=settings.data_dir,
            but_for=settings.uploads,
        )
        threads = await stack.enter_async_context(open_threads(settings))
        service = Service(
            settings=settings,
            backends=backends,
            threads=threads,
            indexing=indexing,
            follower=follower,
            token=secrets.token_urlsafe(32),
            keys=KeyRing(settings.data_dir),
            admission=Admission(
                settings.max_runs, settings.max_queued, settings.rate_limit_per_minute
            ),
            opened=stack,
        )
        service.indexing.follow = service.keep_current
        yield service


def _tell_of_pause(_: object, reason: str) -> None:
    if reason:
        log.warning("%s Trying again.", reason)


def make_uploads_folder(settings: Settings) -> None:
    """So that it can be watched. Touches the disk: not for the event loop.

    Raises:
        PathError: it cannot be made.
    """
    try:
        settings.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise PathError(
            f"{settings.uploads} cannot be made: {exc.strerror}. Choose another folder for uploads "
            "with TANDEM_UPLOADS_DIR."
        ) from exc


async def freshness(follower: Follower) -> Freshness:
    """As far as the watched folders are known, or else the manifest."""
    if follower.folders:
        return await follower.freshness()
    return await unwatched_freshness(follower.manifest)


def pace(settings: WatchSettings) -> Pace:
    """How to watch; where the service does not, a command that is told to watch still does."""
    mode = "auto" if settings.mode == "off" else settings.mode
    return Pace(mode, poll_s=settings.poll_s, reconcile_s=settings.reconcile_s)


@contextlib.asynccontextmanager
async def keeping_up(service: Service) -> AsyncIterator[None]:
    """Index the configured roots for as long as the block runs, and what changes there."""
    folders = [*service.settings.folders, service.settings.uploads]
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread(make_uploads_folder, service.settings)
        await stack.enter_async_context(background("follow", service.follower.run()))
        if service.settings.watch.mode == "off":
            once = background("index the roots", service.indexing.run_roots(folders))
            await stack.enter_async_context(once)
        else:
            following = service.follower.following(folders)
            await stack.enter_async_context(following)
        yield


@contextlib.asynccontextmanager
async def background(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine for as long as the block runs, then cancel it and wait for its end."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(report_bug)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _unless(stopping: asyncio.Event, events: "asyncio.Queue[Event]") -> Event | None:
    """The next event, or None once the service stops."""
    getter = asyncio.ensure_future(events.get())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({getter, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return getter.result() if getter.done() else None
    finally:
        getter.cancel()
        stopped.cancel()
