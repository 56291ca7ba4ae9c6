"""Scopes compared with the manifest. A file that is as it was costs a ``stat`` and no more.

Most syncs find nothing to do. So where a whole root is compared, the files that ``stat`` alone can
judge are passed over while the folders are listed; records are fetched only when something differs.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from errors import PathError
from indexer.changes import RACY_NS, Changes, compare
from indexer.manifest import Manifest
from indexer.records import FileRecord, Settled
from indexer.roots import Scope, identify, refuse_unmounted
from indexer.sources import SkippedFile, SourceFile, discover, look_at
from indexer.tenants import Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What scopes are compared by, and what came of it."""

    manifest: Manifest
    recipe: str
    tenants: Tenants
    max_bytes: int
    include: Sequence[str]
    exclude: Sequence[str]
    changes: Changes = field(default_factory=Changes)

    async def run(self, scopes: Sequence[Scope]) -> Changes:
        """What differs in all scopes; new roots are noted, so that files can be stored below them.

        Raises:
            PathError: a scope cannot be read, or its disk does not seem to be mounted.
        """
        known = await self.manifest.roots()
        for scope in scopes:
            settled = await self._settled(scope)
            found = await asyncio.to_thread(self._walk, scope, settled)
            records: list[FileRecord] = []
            if found or scope.below or scope.touched or not settled.is_all():
                records = await self.manifest.files(str(scope.root), scope.below)
            if await asyncio.to_thread(self._sort_in, found, records, settled) == 0 and records:
                await asyncio.to_thread(refuse_unmounted, scope, known)
            if not scope.touched:
                now = await asyncio.to_thread(identify, scope.root)
                if now not in known:
                    await self.manifest.keep_root(now)
            for adopted in scope.adopted:
                self.changes.vanished.extend(await self.manifest.files(adopted))
        return self.changes

    async def _settled(self, scope: Scope) -> Settled:
        """The files that ``stat`` alone can judge; none where less than a root is compared."""
        if scope.below or scope.touched:
            return Settled(set(), [])
        recipe = None if self.tenants else self.recipe  # a tenant may claim a folder at any time
        stamps = await self.manifest.stamps(
            scope.root, recipe=recipe, max_bytes=self.max_bytes, racy_ns=RACY_NS
        )
        return Settled(stamps, [])

    def _walk(self, scope: Scope, settled: Settled) -> list[SourceFile | SkippedFile]:
        """Every file of the scope but the settled ones."""
        if scope.touched:
            found = look_at(
                scope.root,
                scope.below,
                max_bytes=self.max_bytes,
                include=self.include,
                exclude=self.exclude,
            )
        else:
            found = discover(
                scope.root,
                below=scope.below,
                max_bytes=self.max_bytes,
                include=self.include,
                exclude=self.exclude,
                settled=settled,
            )
        return list(_refusing(scope, found))

    def _sort_in(
        self,
        found: list[SourceFile | SkippedFile],
        records: list[FileRecord],
        settled: Settled,
    ) -> int:
        """Adds what differs to the changes; returns how many files exist."""
        self.changes.unchanged += len(settled.passed)
        passed = set(settled.passed) if records else set()
        others = (record for record in records if record.source not in passed)
        return len(settled.passed) + compare(
            found, others, recipe=self.recipe, tenants=self.tenants, changes=self.changes
        )


def _refusing(
    scope: Scope, found: Iterator[SourceFile | SkippedFile]
) -> Iterator[SourceFile | SkippedFile]:
    """Passes files on; the covered folder itself being unreadable is no reason to empty it.

    One in the middle of a watched root is: what cannot be read is not quoted.
    """
    unreadable = None if scope.touched and scope.below else scope.path
    for file in found:
        if isinstance(file, SkippedFile) and file.path == unreadable and file.path.is_dir():
            raise PathError(f"{file.path} cannot be indexed: {file.reason}.")
        yield file
