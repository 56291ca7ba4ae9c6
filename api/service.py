"""The running service: what the routers share."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import Metric

from api.admission import Admission
from api.answering import Answering
from api.indexing import Indexing
from api.keys import KeyRing
from backends.connections import Backends, connect
from backends.conversations.threads import open_threads
from backends.embeddings import EmbeddingModel
from errors import PathError
from graph.freshness import Freshness
from indexer.following import Follower, report_bug
from indexer.freshness import unwatched_freshness
from indexer.manifest import Manifest
from indexer.news import Event
from indexer.patience import patiently
from indexer.replacing import hide_unsettled
from indexer.watch import Pace
from settings import EmbeddingSettings, Settings, WatchSettings

log = logging.getLogger("tandem")


class Others(Protocol):
    """The processes that answer from this one's index, as this one knows them."""

    def answer_from(self, backends: Backends) -> None:
        """They answer from another index from now on, told in the order of what else changes."""
        ...

    async def measurements(self) -> list[list[Metric]]:
        """What each has measured, the ended ones included."""
        ...

    def state(self) -> dict[str, int]:
        """How many there should be, and how many answer."""
        ...


@dataclass(slots=True, kw_only=True)
class Service(Answering):
    """A service with the index that it answers from.

    Backends, graphs and manifest belong to one index; ``switch`` replaces them together.
    """

    indexing: Indexing
    follower: Follower
    opened: contextlib.AsyncExitStack
    """What is closed when the service ends."""
    at_work: set["asyncio.Task[Any]"] = field(default_factory=set)
    """What goes on after the request that began it has been answered."""
    others: Others | None = None
    """The processes that answer for this one, where it has any."""

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
        self.answer_from(backends)
        self.indexing.backends = backends
        self.indexing.manifest = self.follower.manifest = manifest
        self.opened.push_async_callback(manifest.aclose)
        if self.others is not None:
            self.others.answer_from(backends)

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
