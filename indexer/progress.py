"""How far a sync is, and what came of it."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from indexer.changes import Changes, FileProblem
from indexer.reading import Reading
from indexer.records import FileRecord

_INTERVAL_S = 0.1
_NAMED_CHANGES = 100
ChangeKind = Literal["added", "changed", "moved", "deleted", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sync stands."""

    files_done: int
    files_total: int | None
    """None while the folders are still being walked."""
    chunks_done: int
    chunks_total: int | None
    """An estimate from the bytes read so far; None before there are any."""
    chunks_per_s: float
    eta_s: float | None
    current: str
    """The source that was stored last."""
    paused: str = ""
    """Why nothing happens: a backend does not answer and is tried again; else empty."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a sync did with one file."""

    kind: ChangeKind
    source: str
    detail: str = ""
    """Why it failed, or where it was moved from."""


@dataclass(slots=True)
class SyncReport:
    """What a sync did. A moved file is neither added nor deleted."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: list[FileProblem] = field(default_factory=list)
    """Every file below the paths that could not be read, now or before."""
    skipped: list[FileProblem] = field(default_factory=list)
    """Files left out by rule, such as too large ones."""
    changes: list[FileChange] = field(default_factory=list)
    """The changes by name, in the order in which they were made: the first hundred of them."""
    chunks_embedded: int = 0
    chunks_reused: int = 0
    """Chunks of new and changed files that needed no embedding."""
    seconds: float = 0.0
    optimizing_seconds: float = 0.0
    """Of these, those in which the search index was built: all could be searched meanwhile."""

    def summary(self) -> str:
        """One line for a log."""
        names = ("added", "changed", "moved", "deleted", "unchanged")
        counts = [f"{getattr(self, name):,} {name}" for name in names if getattr(self, name)]
        if self.failed:
            counts.append(f"{len(self.failed):,} failed")
        return (
            f"{', '.join(counts) or 'nothing to index'} in {self.seconds:.1f} s, "
            f"{self.chunks_embedded:,} chunks embedded, {self.chunks_reused:,} reused"
        )


class Tally:
    """Counts what a sync comes across. A new file with a vanished one's bytes is a moved one."""

    def __init__(self, changes: Changes) -> None:
        self._report = SyncReport(
            unchanged=changes.unchanged,
            failed=list(changes.failed),
            skipped=list(changes.skipped),
        )
        self._vanished = {(record.root, record.path): record for record in changes.vanished}
        self._by_content: dict[str, list[FileRecord]] = defaultdict(list)
        for record in changes.vanished:
            if record.content_hash:
                self._by_content[record.content_hash].append(record)
        self.touched: list[FileRecord] = []
        """Files with a new time and the same bytes."""
        self.gone: list[FileRecord] = []
        """Known files that vanished while they were waiting to be read."""
        self.optimizing_s = 0.0

    def note(self, reading: Reading) -> None:
        """Counts one file that is done."""
        record, report = reading.record, self._report
        if record.state == "failed":
            report.failed.append(FileProblem(record.source, record.reason))
        if reading.outcome == "same":
            self.touched.append(record)
            report.unchanged += 1
        elif reading.outcome == "gone":
            self.gone.append(record)
        elif reading.outcome == "changed":
            report.changed += 1
            self._name(record, "changed")
        elif before := self._by_content.get(record.content_hash):
            origin = before.pop()
            del self._vanished[origin.root, origin.path]
            report.moved += 1
            self._name(record, "moved", origin.source)
        else:
            report.added += 1
            self._name(record, "added")

    def report(self, *, embedded: int, reused: int, seconds: float) -> SyncReport:
        """The sums. What vanished and was not found anywhere else has been deleted."""
        self._report.deleted = len(self._vanished)
        for record in self._vanished.values():
            self._name(record, "deleted")
        self._report.chunks_embedded = embedded
        self._report.chunks_reused = reused
        self._report.seconds = seconds
        self._report.optimizing_seconds = self.optimizing_s
        return self._report

    def _name(self, record: FileRecord, kind: ChangeKind, detail: str = "") -> None:
        if record.state == "failed" and kind != "deleted":
            kind, detail = "failed", record.reason
        if len(self._report.changes) < _NAMED_CHANGES:
            self._report.changes.append(FileChange(kind, record.source, detail))


class Meter:
    """Counts, and tells ``on_progress`` at most ten times a second and once at the end."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._tell = on_progress
        self._started = time.monotonic()
        self._told = 0.0
        self._files_total: int | None = None
        self._bytes_total = 0
        self._bytes_done = 0
        self._files_done = 0
        self._chunks_done = 0
        self._current = ""
        self._pauses: dict[object, str] = {}

    def expect(self, files: int, size: int) -> None:
        """What is to be done: files, and bytes in all."""
        self._files_total = files
        self._bytes_total = size
        self.update()

    def count_chunks(self, chunks: int) -> None:
        """Chunks that have been stored."""
        self._chunks_done += chunks
        self.update()

    def count_file(self, source: str, size: int) -> None:
        """A file that is done."""
        self._files_done += 1
        self._bytes_done += size
        self._current = source
        self.update()

    def pause(self, who: object, reason: str) -> None:
        """Somebody waits for a backend, for a reason; with an empty one: not any more."""
        if reason != self._pauses.get(who, ""):
            self._pauses.pop(who, None)
            if reason:
                self._pauses[who] = reason
            self.update(last=True)

    def update(self, *, last: bool = False) -> None:
        """Tells where it stands if it is time to, or in any case if nothing may follow."""
        now = time.monotonic()
        if self._tell is not None and (last or now - self._told >= _INTERVAL_S):
            self._told = now
            self._tell(self._progress(now - self._started))

    def elapsed_s(self) -> float:
        """Seconds since the sync began."""
        return time.monotonic() - self._started

    def _progress(self, elapsed: float) -> Progress:
        share = self._bytes_done / self._bytes_total if self._bytes_total else 0.0
        started = share > 0 and elapsed > 0
        return Progress(
            files_done=self._files_done,
            files_total=self._files_total,
            chunks_done=self._chunks_done,
            chunks_total=max(self._chunks_done, round(self._chunks_done / share))
            if started
            else None,
            chunks_per_s=self._chunks_done / elapsed if elapsed > 0 else 0.0,
            eta_s=elapsed * (1 - share) / share if started else None,
            current=self._current,
            paused=next(iter(self._pauses.values()), ""),
        )
