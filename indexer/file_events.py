"""What the operating system tells of changes below a folder, as hints where to look.

The hints of ``watchfiles`` are made safe here. A folder that is new may hold files that were
written before it was listened to, so it is looked at a second time. An ignore file speaks for its
whole folder. And where anything may have been missed, the hint is the root itself.
"""

import asyncio
import contextlib
import enum
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import watchfiles

from indexer.ignoring import IGNORE_FILES
from indexer.suffixes import SKIPPED_FOLDERS

QUIET_MS = 50
"""A burst of events is over when there was none for so long; most editors write in less."""
LONGEST_MS = 200
"""Under constant writing there is a hint after so long."""
_SIGN_OF_LIFE_MS = 100
_WAITING = 64
_MANY = 1_000
"""Paths in one burst from which looking everywhere is as cheap."""
_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


class Hint(NamedTuple):
    """Where something may have changed."""

    paths: frozenset[Path]
    """Absolute; files, or folders with all that is below them; they may exist or not."""
    new_folders: frozenset[Path] = frozenset()
    """Those that should be looked at again a little later."""


class CannotListen(Exception):
    """The operating system will not tell of changes; the message says why and what to do."""


class Sign(enum.Enum):
    """What is heard besides changes."""

    BEGUN = enum.auto()
    """From now on every change is heard."""
    ENDED = enum.auto()
    """Nothing more will be heard: the folder vanished, or something in it cannot be told."""


Heard = Hint | CannotListen | Sign


@contextlib.contextmanager
def listening(root: Path, stop: asyncio.Event) -> Iterator["asyncio.Queue[Heard]"]:
    """Listens below a folder for as long as the block runs and ``stop`` is not set.

    First comes BEGUN, or the first changes; the last is ENDED or CannotListen.
    """
    heard: asyncio.Queue[Heard] = asyncio.Queue(_WAITING)
    loop = asyncio.get_running_loop()
    end = _End(stop)

    def deliver(item: Heard) -> None:
        if heard.full():  # whoever reads has other things to do: one hint stands for all
            while not heard.empty():
                heard.get_nowait()
            item = Hint(frozenset([root])) if isinstance(item, Hint) else item
        heard.put_nowait(item)

    def listen() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before this thread
            for item in _heard(root, end):
                loop.call_soon_threadsafe(deliver, item)

    threading.Thread(target=listen, name=f"listen to {root}", daemon=True).start()
    try:
        yield heard
    finally:
        end.block_has_ended = True


class _End:
    """What watchfiles asks every now and then whether to end."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self.block_has_ended = False

    def is_set(self) -> bool:
        return self.block_has_ended or self._stop.is_set()


def _heard(root: Path, end: _End, *, strict: bool = True) -> Iterator[Heard]:
    """Bursts of events as hints, in a thread; blocking.

    Not ``strict``, folders that may not be read are passed over; then watchfiles also keeps to
    itself that the limit of watches was reached, so this is tried second.
    """
    begun = False
    try:
        for changes in watchfiles.watch(
            root,
            watch_filter=None,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            stop_event=end,
            rust_timeout=_SIGN_OF_LIFE_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=False,
            ignore_permission_denied=not strict,
        ):
            hint = _hint(root, changes)
            if not begun:
                yield Sign.BEGUN
            if hint.paths:
                yield hint
            begun = True
    except PermissionError as exc:
        if strict:
            yield from _heard(root, end, strict=False)
        else:
            yield CannotListen(str(exc))
    except FileNotFoundError:
        yield Sign.ENDED
    except (OSError, RuntimeError) as exc:  # watchfiles' own error is a RuntimeError
        yield Sign.ENDED if "decode" in str(exc) else CannotListen(_explain(str(exc)))
    else:
        yield Sign.ENDED


def _hint(root: Path, changes: set[tuple[watchfiles.Change, str]]) -> Hint:
    paths: set[Path] = set()
    folders: set[Path] = set()
    for change, name in changes:
        path = _place(root, name)
        if path is None:
            continue
        paths.add(path)
        if change == watchfiles.Change.added and os.path.isdir(path):  # noqa: PTH112 - never raises
            folders.add(path)
    if len(paths) > _MANY:
        return Hint(frozenset([root]), frozenset(folders and [root]))
    return Hint(frozenset(paths), frozenset(folders))


def _place(root: Path, name: str) -> Path | None:
    """Where to look because of an event; None where nothing is ever indexed."""
    path = Path(name)
    while _UNDECODABLE in path.name:
        path = path.parent
    if not path.is_relative_to(root):
        return root
    if path.name in IGNORE_FILES:
        path = path.parent
    if any(part[0] == "." or part in SKIPPED_FOLDERS for part in path.relative_to(root).parts):
        return None
    return path


def _explain(reason: str) -> str:
    if "watch limit" in reason:
        return (
            "there are more folders than the system lets one user watch: raise "
            "fs.inotify.max_user_watches, as with `sudo sysctl fs.inotify.max_user_watches=524288`"
        )
    if "os error 24" in reason:
        return (
            "too many programs are watching folders: raise fs.inotify.max_user_instances, as with "
            "`sudo sysctl fs.inotify.max_user_instances=512`"
        )
    return f"the system says {reason!r}"
