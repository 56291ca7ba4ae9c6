"""One file read: its bytes hashed, parsed and cut into chunks, all of the same version."""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from errors import ParsingError
from indexer.chunking import Chunk
from indexer.points import Draft, draft
from indexer.records import FileRecord, FileState
from indexer.sources import SourceFile
from indexer.tenants import DEFAULT

Chunker = Callable[[Path], list[Chunk]]
"""Parses a file and cuts it into chunks; blocking. Raises ParsingError and OSError."""

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a file."""

    record: FileRecord
    outcome: Literal["new", "changed", "same", "gone"]
    """``same``: the bytes are those already indexed; ``gone``: it vanished since it was seen."""
    drafts: list[Draft] = field(default_factory=list)
    redated: bool = False
    """The bytes are the same, their time is not."""


def relative_path(file: SourceFile) -> str:
    """The path below the root, with ``/``."""
    return file.source.partition("/")[2]


def read(
    file: SourceFile,
    previous: FileRecord | None,
    *,
    chunker: Chunker,
    recipe: str,
    tenant: str = DEFAULT,
) -> Reading:
    """Reads a file that is new or seems changed; a file that cannot be read is a ``failed`` record.

    A file that changes while it is read is read again; when it never holds still, what was read
    last is kept without a content hash, so that the next sync looks again.
    """
    outcome: Literal["new", "changed"] = "new" if previous is None else "changed"
    try:
        for _ in range(_ATTEMPTS):
            record = _observe(file, recipe)
            if previous is not None and _holds(previous, record):
                same = record._replace(state=previous.state, reason=previous.reason)
                return Reading(same, "same", redated=previous.mtime_ns != record.mtime_ns)
            chunks, reason = _chunks(file.path, chunker)
            drafts = draft(record, chunks, tenant=tenant)
            if _unchanged(file.path, record):
                break
        else:
            record = record._replace(content_hash="", mtime_ns=0)
    except FileNotFoundError:
        return Reading(_record(file, recipe), "gone")
    except OSError as exc:
        # no time of its own: rights are given without one, so the next sync tries again
        failed = _record(file, recipe)._replace(mtime_ns=0, state="failed", reason=_explain(exc))
        return Reading(failed, outcome)
    state: FileState = "failed" if reason else "indexed" if chunks else "empty"
    record = record._replace(state=state, reason=reason)
    return Reading(record, outcome, drafts)


def _chunks(path: Path, chunker: Chunker) -> tuple[list[Chunk], str]:
    """The chunks, or why there are none."""
    try:
        return chunker(path), ""
    except ParsingError as exc:
        return [], str(exc)
    except (RecursionError, MemoryError):
        return [], "it is nested too deeply or is too large to be parsed"


def _record(file: SourceFile, recipe: str) -> FileRecord:
    return FileRecord(
        root=str(file.root),
        path=relative_path(file),
        source=file.source,
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode,
        checked_ns=time.time_ns(),
        content_hash="",
        state="pending",
        reason="",
        recipe=recipe,
        indexed_at=time.time(),
    )


def _observe(file: SourceFile, recipe: str) -> FileRecord:
    """The file as it is now, not as it was when it was discovered."""
    checked_ns = time.time_ns()
    with file.path.open("rb") as content:
        stat = os.fstat(content.fileno())
        digest = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16))
    return _record(file, recipe)._replace(
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        inode=stat.st_ino,
        checked_ns=checked_ns,
        content_hash=digest.hexdigest(),
    )


def _holds(previous: FileRecord, record: FileRecord) -> bool:
    """Whether what is indexed was made from these bytes in the same way."""
    return (
        previous.state != "pending"
        and previous.recipe == record.recipe
        and previous.source == record.source
        and previous.content_hash == record.content_hash
    )


def _unchanged(path: Path, record: FileRecord) -> bool:
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (
        record.size,
        record.mtime_ns,
        record.inode,
    )


def _explain(exc: OSError) -> str:
    return f"it cannot be read: {exc.strerror or exc}"
