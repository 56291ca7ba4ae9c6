"""What can go wrong with an embedded store, in words that say what to do.

The engine raises bare ``Exception`` with a text, and Rust panics arrive as ``PanicException``, a
``BaseException`` whose class cannot be imported: both are told apart by name and text here.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from errors import (
    EmbeddingMismatch,
    SettingsError,
    StoreDamaged,
    StoreLocked,
    TandemError,
    UsageError,
    VectorStoreUnavailable,
)

MIN_FREE_BYTES = 256 * 2**20
"""An empty shard takes about 170 MB; the rest is room for the next batch."""


def damaged(folder: Path, reason: str) -> StoreDamaged:
    """The error for a folder that cannot be used as it is."""
    return StoreDamaged(
        f"The embedded store in {folder} is damaged: {reason}. Move that folder away and run "
        "`tandem index` again; your documents are not touched."
    )


def locked(folder: Path) -> StoreLocked:
    """The error for a folder that is in use."""
    return StoreLocked(
        f"Another process holds the embedded store in {folder}, most likely a running "
        "`tandem serve`. Commands go through it; to use the store without it, stop it first."
    )


def require_space(folder: Path, needed: int = 0) -> None:
    """Refuse to write to an almost full disk, where the engine would kill the process.

    Raises:
        VectorStoreUnavailable: fewer than ``needed`` bytes plus a reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + MIN_FREE_BYTES:
        raise _full(folder, f"{free // 2**20} MB free, {(needed + MIN_FREE_BYTES) // 2**20} needed")


@contextlib.contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors about a data folder into Tandem's."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder, "no space left") from exc
        raise _unusable(folder, exc.strerror or str(exc)) from exc


@contextlib.contextmanager
def engine_errors(folder: Path) -> Iterator[None]:
    """Turn the engine's errors, panics included, into Tandem's."""
    try:
        yield
    except BaseException as exc:
        # The engine has no classes of its own: everything more specific is not from it.
        if type(exc) not in (Exception, ValueError) and type(exc).__name__ != "PanicException":
            raise
        raise _translated(exc, folder) from exc


def _translated(exc: BaseException, folder: Path) -> TandemError:
    text = str(exc)
    known = {
        "WouldBlock": locked(folder),
        "not initialized": VectorStoreUnavailable("The embedded store is closed."),
        "dimension error": EmbeddingMismatch(f"A vector does not fit the collection: {text}."),
        "No space left": _full(folder, "no space left"),
        "Permission denied": _unusable(folder, "permission denied"),
        "Read-only file system": _unusable(folder, "read-only file system"),
    }
    for part, error in known.items():
        if part in text:
            return error
    panic = type(exc).__name__ == "PanicException"
    if panic or (type(exc) is Exception and text.startswith("Service runtime error")):
        reason = " ".join(text.split())[:300]
        # A panic writes to the error output by itself, before it can be caught.
        seen = " (the lines about a thread that panicked say the same)" if panic else ""
        return damaged(folder, f"{reason}{seen}")
    return UsageError(f"The embedded store refuses the request: {text}.")


def _full(folder: Path, detail: str) -> VectorStoreUnavailable:
    return VectorStoreUnavailable(
        f"The disk that holds {folder} is full ({detail}). Free some space, or choose another "
        "place with TANDEM_DATA_DIR."
    )


def _unusable(folder: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"The data folder {folder} cannot be used: {reason}. Choose another with TANDEM_DATA_DIR."
    )


def refuse_given(where: str, **arguments: Any) -> None:
    """Refuse every argument that is not None.

    Raises:
        UsageError: names the first one.
    """
    for name, value in arguments.items():
        if value is not None:
            raise unsupported(f"{name} in {where}")


def unsupported(what: str) -> UsageError:
    """The error for what only a Qdrant server can do."""
    return UsageError(
        f"The embedded store does not support {what}. Set TANDEM_QDRANT__URL to use a Qdrant "
        "server, or leave it out."
    )


def to_id(source: Any) -> Any:
    """A point id: an unsigned integer or a UUID."""
    try:
        return UUID(source) if isinstance(source, str) else source
    except ValueError as exc:
        raise UsageError(f"{source!r} is not a point id: use a UUID or an integer.") from exc
