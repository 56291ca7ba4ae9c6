"""What differs between a folder and the manifest, found by ``stat`` alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from indexer.reading import relative_path
from indexer.records import FileRecord
from indexer.sources import SkippedFile, SourceFile
from indexer.tenants import Tenants

RACY_NS = 2_000_000_000
"""A file written this shortly before it was checked may have been written again since, within one
tick of the file system's clock (FAT's is two seconds). The problem and the remedy are git's."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file that is not in the index, and why."""

    source: str
    reason: str


@dataclass(slots=True)
class Changes:
    """Files to look at, in the order in which they are best looked at."""

    new: list[SourceFile] = field(default_factory=list)
    suspect: list[tuple[SourceFile, FileRecord]] = field(default_factory=list)
    """Known, and perhaps changed: only their bytes can tell."""
    vanished: list[FileRecord] = field(default_factory=list)
    unchanged: int = 0
    failed: list[FileProblem] = field(default_factory=list)
    """Unchanged, and still not readable."""
    skipped: list[FileProblem] = field(default_factory=list)

    def are_any(self) -> bool:
        """Whether a file has to be looked at, or left the folder."""
        return bool(self.new or self.suspect or self.vanished)


def compare(
    found: Iterable[SourceFile | SkippedFile],
    known: Iterable[FileRecord],
    *,
    recipe: str,
    tenants: Tenants | None = None,
    changes: Changes,
) -> int:
    """Adds what differs between a scope's files and its records; returns how many files exist."""
    recipe_of = partial((tenants or Tenants()).recipe, recipe)
    unseen = {record.path: record for record in known}
    files = 0
    for file in found:
        if isinstance(file, SkippedFile):
            changes.skipped.append(FileProblem(file.source, file.reason))
        else:
            files += 1
            record = unseen.pop(relative_path(file), None)
            _sort_in(file, record, recipe_of(file.location), changes)
    changes.vanished.extend(unseen.values())
    return files


def _sort_in(file: SourceFile, record: FileRecord | None, recipe: str, changes: Changes) -> None:
    if record is None:
        changes.new.append(file)
    elif _is_current(file, record, recipe):
        changes.unchanged += 1
        if record.state == "failed":
            changes.failed.append(FileProblem(record.source, record.reason))
    else:
        changes.suspect.append((file, record))


def _is_current(file: SourceFile, record: FileRecord, recipe: str) -> bool:
    return (
        record.mtime_ns == file.mtime_ns
        and record.size == file.size
        and record.inode == file.inode
        and record.recipe == recipe
        and record.source == file.source
        and record.state != "pending"
        and record.mtime_ns < record.checked_ns - RACY_NS
    )
