"""The index kept in line with watched folders: looks become syncs, and failures become waits."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from errors import PathError, TandemError
from graph.freshness import Freshness
from indexer.backlog import Backlog, Batch
from indexer.folders import Folder, outermost
from indexer.freshness import followed_freshness
from indexer.manifest import Manifest
from indexer.news import Event, News
from indexer.patience import Backoff
from indexer.progress import Progress, SyncReport
from indexer.watch import Gone, Look, Notice, Pace, Watching, watch

log = logging.getLogger(__name__)


class Sync(Protocol):
    """Brings the index in line with paths; see ``indexer.sync``."""

    async def __call__(
        self,
        paths: Sequence[Path],
        *,
        touched: bool,
        on_progress: Callable[[Progress], None],
    ) -> SyncReport: ...


class Follower:
    """Watches folders and has synced what changes in them, one sync at a time.

    ``run`` does the work; ``following`` says which folders. ``apart_from`` is a folder whose
    changes are our own: the data folder, should it lie in a watched one; ``but_for`` is one in it
    whose changes count, that of the uploads.
    """

    def __init__(
        self,
        sync: Sync,
        manifest: Manifest,
        pace: Pace,
        *,
        apart_from: Path,
        but_for: Path | None = None,
    ) -> None:
        self._sync = sync
        self.manifest = manifest
        self._pace = pace
        self._apart_from = apart_from.resolve()
        self._but_for = but_for and but_for.resolve()
        self._backoff = Backoff()
        self._folders: dict[Path, Folder] = {}
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._backlog = Backlog()
        self._at_work = Batch()
        self._progress: Progress | None = None
        self._paused = ""
        self.news = News()

    @property
    def folders(self) -> list[Folder]:
        """The watched folders."""
        return list(self._folders.values())

    async def run(self) -> None:
        """Syncs what is due, for ever; to be cancelled."""
        waits = iter(self._backoff)
        while True:
            self._at_work = await self._backlog.take()
            try:
                await self._catch_up(self._at_work)
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not end the watching
                self._backlog.put_back(self._at_work)
                self._at_work = Batch()
                self._pause(str(exc) if isinstance(exc, TandemError) else _bug(exc))
                await asyncio.sleep(next(waits))
            else:
                self._at_work = Batch()
                self._pause("")
                waits = iter(self._backoff)

    @contextlib.asynccontextmanager
    async def following(self, paths: Sequence[Path]) -> AsyncIterator[list[Folder]]:
        """Watches these folders, or single files, for as long as the block runs.

        One inside of a folder that is followed already is followed with that folder.
        """
        real = await asyncio.to_thread(outermost, paths)
        roots = {self._home(path) for path in real}
        for root in roots:
            self._begin(root)
        try:
            yield [self._folders[root] for root in roots]
        finally:
            for root in roots:
                await self._end(root)

    async def freshness(self) -> Freshness:
        """How far the index is behind the watched folders, now."""
        return await followed_freshness(
            self.manifest,
            {folder.root: folder.problem for folder in self.folders},
            pending=self._pending(),
            since=self._behind_since(),
            paused=self._paused if self._backlog.batch or self._at_work else "",
        )

    # watching

    def _home(self, path: Path) -> Path:
        """The followed folder around a path; else the path itself."""
        return next((folder for folder in self._folders if path.is_relative_to(folder)), path)

    def _begin(self, root: Path) -> None:
        folder = self._folders.setdefault(root, Folder(root))
        folder.followers += 1
        if root not in self._tasks:
            task = asyncio.create_task(self._attend(folder), name=f"watch {root}")
            task.add_done_callback(report_bug)
            self._tasks[root] = task

    async def _end(self, root: Path) -> None:
        folder = self._folders[root]
        folder.followers -= 1
        if not folder.followers:
            del self._folders[root]
            self._backlog.drop(root)
            task = self._tasks.pop(root)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _attend(self, folder: Folder) -> None:
        notices = watch(folder.root, pace=self._pace, stop=asyncio.Event())
        async with contextlib.aclosing(notices):
            async for notice in notices:
                self._note(folder, notice)

    def _note(self, folder: Folder, notice: Notice) -> None:
        root = folder.root
        if isinstance(notice, Gone):
            folder.how = "waiting"
            folder.doubt()
            self._blame(folder, notice.reason)
            self._backlog.drop(root)
        elif isinstance(notice, Watching):
            if folder.without_place(notice.warning) != folder.warning:
                log.warning("%s", notice.warning)
            folder.how, folder.warning = notice.how, folder.without_place(notice.warning)
            self.news.tell(folder.event())
        elif look := self._ours(notice):
            if look.reason in ("begun", "missed"):
                folder.doubt()
            self._backlog.add(root, look)

    def _ours(self, look: Look) -> Look | None:
        """A look without the paths that are our own; None where nothing is left."""
        paths = frozenset(path for path in look.paths if not self._is_our_own(path))
        return look._replace(paths=paths) if paths or look.reason != "touched" else None

    def _is_our_own(self, path: Path) -> bool:
        if not path.is_relative_to(self._apart_from):
            return False
        return self._but_for is None or not path.is_relative_to(self._but_for)

    # syncing

    async def _catch_up(self, batch: Batch) -> None:
        """One sync for all that was touched, and one for all that is compared in full."""
        complete = batch.complete | {root for root in batch.roots() if self._has_problem(root)}
        complete &= self._folders.keys()
        if complete:
            await self._compare(sorted(complete))
        rest = {
            path
            for root, paths in batch.touched.items()
            if root in self._folders and root not in complete
            for path in paths
        }
        rest |= (batch.poll & self._folders.keys()) - complete
        if not rest:
            return
        try:
            self._tell_of(await self._run(sorted(rest), touched=True))
        except PathError:  # one of the roots is not there: comparing them says which
            await self._compare(sorted(batch.roots() & self._folders.keys()))

    async def _compare(self, roots: list[Path]) -> None:
        """Compares roots in full; one that is not there keeps no other waiting."""
        first = not all(self._folders[root].compared for root in roots)
        try:
            report = await self._run(roots, touched=False)
        except PathError as exc:
            if len(roots) == 1:
                if folder := self._folders.get(roots[0]):
                    self._blame(folder, str(exc))
                return
            for root in roots:
                if root in self._folders:
                    await self._compare([root])
            return
        for root in roots:
            if folder := self._folders.get(root):
                folder.settle()
        self._tell_of(report, always=first)

    async def _run(self, paths: list[Path], *, touched: bool) -> SyncReport:
        try:
            return await self._sync(paths, touched=touched, on_progress=self._advance)
        finally:
            self._progress = None

    def _advance(self, progress: Progress) -> None:
        self._progress = progress
        self._pause(progress.paused)

    # telling

    def _pause(self, reason: str) -> None:
        if reason == self._paused:
            return
        self._paused = reason
        if reason:
            log.error("indexing is paused: %s", reason)
            self.news.tell(Event("paused", {"reason": reason}))
        else:
            log.info("indexing goes on")
            self.news.tell(Event("resumed", {}))

    def _blame(self, folder: Folder, problem: str) -> None:
        known, folder.problem = folder.problem, folder.without_place(problem)
        if not known and folder.compared:
            folder.behind_since = time.monotonic()
        if folder.problem != known:
            log.error("%s", problem)
            data = {"root": folder.root.name, "reason": folder.problem}
            self.news.tell(Event("gone", data))

    def _tell_of(self, report: SyncReport, *, always: bool = False) -> None:
        if report.changes or always:
            if report.changes or report.unchanged or report.failed:  # an empty folder is no news
                log.info("%s", report.summary())
            self.news.tell(Event("synced", asdict(report)))

    # freshness

    def _has_problem(self, root: Path) -> bool:
        folder = self._folders.get(root)
        return folder is not None and bool(folder.problem)

    def _pending(self) -> int:
        progress, at_work = self._progress, self._at_work.pending()
        if progress is not None and progress.files_total is not None:
            at_work = progress.files_total - progress.files_done
        return self._backlog.batch.pending() + at_work

    def _behind_since(self) -> float | None:
        """Since when something is known not to be in the index, on ``time.monotonic``."""
        since = [self._backlog.batch.since, self._at_work.since]
        since += [f.behind_since for f in self.folders if f.problem or not f.compared]
        known = [when for when in since if when is not None]
        if self._pending() and not known:  # found by a look that was merely due
            known = [time.monotonic()]
        return min(known, default=None)


def _bug(exc: Exception) -> str:
    log.critical("a sync failed as none should", exc_info=exc)
    # Of the error its kind alone: it may name a file, and everybody who asks is told this.
    return f"A {type(exc).__name__} that should not be. The service's output tells more."


def report_bug(task: "asyncio.Task[None]") -> None:
    """Says so when a task that should run for ever has broken; for ``add_done_callback``."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.critical("%s ended, which it should not: restart Tandem", task.get_name(), exc_info=exc)
