"""What of the watched folders is to be looked at, merged while it waits."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from indexer.watch import Look

_MANY = 1_000
"""Paths in one root from which looking at all of it is as cheap."""


@dataclass(slots=True)
class Batch:
    """What is to be looked at in one go."""

    complete: set[Path] = field(default_factory=set)
    """Roots to be compared in full, the store with the manifest as well."""
    poll: set[Path] = field(default_factory=set)
    """Roots to be walked through."""
    touched: dict[Path, set[Path]] = field(default_factory=dict)
    """By root, the files and folders in which something changed."""
    since: float | None = None
    """When the oldest change that is known among them was noticed, on ``time.monotonic``."""

    def __bool__(self) -> bool:
        return bool(self.complete or self.poll or self.touched)

    def pending(self) -> int:
        """How many files and folders are known to be due."""
        return sum(map(len, self.touched.values()))

    def roots(self) -> set[Path]:
        """The roots in which there is something to do."""
        return self.complete | self.poll | self.touched.keys()

    def without(self, root: Path) -> "Batch":
        """What is left when a root is not there."""
        touched = {other: paths for other, paths in self.touched.items() if other != root}
        return Batch(self.complete - {root}, self.poll - {root}, touched, self.since)


class Backlog:
    """Takes in looks and hands them out as batches. Bounded: many paths become their root."""

    def __init__(self) -> None:
        self._batch = Batch()
        self._filled = asyncio.Event()

    @property
    def batch(self) -> Batch:
        """What waits; not to be changed."""
        return self._batch

    def add(self, root: Path, look: Look) -> None:
        """Takes in a look."""
        batch = self._batch
        if look.reason == "touched":
            self._touch(root, look.paths)
        elif look.reason == "poll":
            batch.poll.add(root)
        else:
            batch.complete.add(root)
        if look.reason in ("touched", "missed", "begun") and batch.since is None:
            batch.since = time.monotonic()
        self._filled.set()

    def put_back(self, batch: Batch) -> None:
        """Takes in again what could not be done."""
        self._batch.complete |= batch.complete
        self._batch.poll |= batch.poll
        for root, paths in batch.touched.items():
            self._touch(root, paths)
        times = [since for since in (batch.since, self._batch.since) if since is not None]
        self._batch.since = min(times, default=None)
        if self._batch:
            self._filled.set()

    def drop(self, root: Path) -> None:
        """Forgets what was due in a root that is not there: all of it will be, when it returns."""
        self._batch = self._batch.without(root)
        if not self._batch:
            self._batch.since = None
            self._filled.clear()

    async def take(self) -> Batch:
        """Waits until something is due, and hands all of it out."""
        await self._filled.wait()
        self._filled.clear()
        batch, self._batch = self._batch, Batch()
        return batch

    def _touch(self, root: Path, paths: Iterable[Path]) -> None:
        touched = self._batch.touched.setdefault(root, set())
        touched.update(paths)
        if len(touched) > _MANY:
            self._batch.touched[root] = {root}
