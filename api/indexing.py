"""Syncs for the service: one at a time, waiting for their turn, and remembering how they went."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.connections import Backends
from errors import TandemError, UnavailableError
from indexer.manifest import Manifest
from indexer.parser_process import ParserProcess
from indexer.patience import Backoff
from indexer.sync import RETRY_DELAYS_S, Progress, SyncReport, sync
from indexer.tenants import Tenants

log = logging.getLogger("tandem")

_IDLE_S = 60.0
"""After so long without a sync the parser's process is given back with its memory."""


@dataclass(slots=True)
class Indexing:
    """Syncs folders, one sync at a time."""

    backends: Backends
    manifest: Manifest
    progress: Progress | None = None
    report: SyncReport | None = None
    error: str = ""
    parser: ParserProcess = field(default_factory=ParserProcess)
    reindexed: Progress | None = None
    """How far a reindex is."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever syncs, or puts another index in this one's place."""
    follow: Callable[[], Awaitable[None]] | None = None
    """Called before a sync: another process may have put another index in this one's place."""
    _stuck: asyncio.Event = field(default_factory=asyncio.Event)
    """The sync at work has been waiting for a backend for longer than one without ``wait`` may."""
    _stuck_timer: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    _resting: asyncio.Future[None] | None = None

    async def run(
        self,
        paths: Sequence[Path],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        touched: bool = False,
        wait: bool = False,
    ) -> SyncReport:
        """Brings the index in line with the paths; ``touched`` is explained by ``sync``.

        With ``wait``, a backend that does not answer is waited for without end.

        Raises:
            TandemError: the sync could not be finished; what was stored by then stays.
        """

        def advance(progress: Progress) -> None:
            self._watch_for_pauses(progress)
            self.progress = progress
            if on_progress is not None:
                on_progress(progress)

        if self.follow is not None:
            await self.follow()
        async with self._taken_turn(wait):
            try:
                self.report = await sync(
                    paths,
                    store=self.backends.store,
                    embeddings=self.backends.embeddings,
                    sparse=self.backends.sparse,
                    manifest=self.manifest,
                    max_file_bytes=self.backends.settings.max_file_bytes,
                    include=self.backends.settings.include,
                    exclude=self.backends.settings.exclude,
                    tenants=Tenants(self.backends.settings.claims),
                    on_progress=advance,
                    retry_delays_s=Backoff() if wait else RETRY_DELAYS_S,
                    touched=touched,
                    process=self.parser,
                )
            except TandemError as exc:
                self.error = str(exc)
                raise
            finally:
                self.progress = None
                self._watch_for_pauses(None)
            self.error = ""
            return self.report

    async def run_roots(self, folders: Sequence[Path]) -> None:
        """Sync what the service indexes; a failure is logged and shown, the service goes on."""
        try:
            report = await self.run(folders)
        except TandemError as exc:
            log.error("indexing stopped: %s", exc)  # noqa: TRY400 - a user's error, no traceback
        else:
            log.info("%s", report.summary())

    async def aclose(self) -> None:
        """Ends the parser's process."""
        self._watch_for_pauses(None)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        await asyncio.to_thread(self.parser.close)

    @contextlib.asynccontextmanager
    async def _taken_turn(self, wait: bool) -> AsyncIterator[None]:
        """The turn; raises UnavailableError where the one whose turn it is cannot go on."""
        turn = asyncio.ensure_future(self.turn.acquire())
        stuck = asyncio.ensure_future(asyncio.Event().wait() if wait else self._stuck.wait())
        try:
            await asyncio.wait({turn, stuck}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise UnavailableError(self.progress.paused if self.progress else self.error)
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            yield
        finally:
            stuck.cancel()
            if not turn.cancel():  # it was done: the turn is ours
                self.turn.release()
                self._idle_timer = asyncio.get_running_loop().call_later(_IDLE_S, self._rest)

    def _watch_for_pauses(self, progress: Progress | None) -> None:
        if progress is not None and progress.paused:
            if self._stuck_timer is None:
                loop = asyncio.get_running_loop()
                self._stuck_timer = loop.call_later(sum(RETRY_DELAYS_S), self._stuck.set)
            return
        self._stuck.clear()
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _rest(self) -> None:
        if not self.turn.locked():
            self._resting = asyncio.ensure_future(self._close_parser())

    async def _close_parser(self) -> None:
        async with self.turn:  # nobody may be using it
            await asyncio.to_thread(self.parser.close)
