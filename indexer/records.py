"""What the manifest says about roots, files and points: plain rows."""

from typing import Literal, NamedTuple

FileState = Literal["indexed", "failed", "empty", "pending"]
"""``pending``: being written when last seen, or its points are in doubt; the next sync does it."""


class Root(NamedTuple):
    """A folder given by the user, and which folder it was: device and inode, 0 where unknown."""

    path: str
    device: int
    inode: int


class FileRecord(NamedTuple):
    """A file as it was when its points were made."""

    root: str
    path: str
    """Below the root, with ``/``."""
    source: str
    size: int
    mtime_ns: int
    inode: int
    checked_ns: int
    """When its bytes were last looked at, by the clock of this machine."""
    content_hash: str
    """Of the bytes; empty where they changed under our hands."""
    state: FileState
    reason: str
    recipe: str
    """What made the chunks: another recipe makes the file due again."""
    indexed_at: float

    def as_dict(self) -> dict[str, str | int | float]:
        """What people and programs are told about it."""
        return {
            "source": self.source,
            "root": self.root,
            "path": self.path,
            "state": self.state,
            "reason": self.reason,
            "size": self.size,
            "indexed_at": self.indexed_at,
        }


Stamp = tuple[str, int | None, int, int]
"""A file's source, size, modification time in nanoseconds and inode; without a size it is equal to
that of no file on disk."""


class Settled(NamedTuple):
    """Files that need no more than a ``stat``: most of them, at most times."""

    stamps: set[Stamp]
    """Of every known file of a scope, those included that need a look."""
    passed: list[str]
    """Sources of the files that were found just so."""

    def is_all(self) -> bool:
        """Whether no known file is left over."""
        return len(self.passed) == len(self.stamps)


class PointRecord(NamedTuple):
    """A chunk in the store, in the order of its document."""

    id: str
    content_hash: str
    """Of the embedded text: equal hashes have equal dense vectors."""
    tokens: int
    payload_hash: str | None
    """Of everything stored with the vector; None where it is only intended to be stored. Empty
    where the store held it before we knew; the id answers for it then."""


class RootSummary(NamedTuple):
    """One root in ``tandem status``."""

    root: str
    indexed: int
    failed: int
    empty: int
    pending: int
    chunks: int
    indexed_at: float | None
    """When its last change was indexed, seconds since the epoch."""
