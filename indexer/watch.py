"""A folder watched: when to compare it with the index, and where.

Events of the operating system are hints, and some are always missing. So the folder as a whole is
looked at when watching begins, whenever something may have been missed, and every now and then.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from indexer.file_events import CannotListen, Hint, Sign, listening
from indexer.mounts import silent_file_system
from indexer.patience import is_set_within

Mode = Literal["auto", "events", "polling"]
How = Literal["events", "polling", "waiting"]

LOOK_S = 1.0
"""How often to see whether the folder is still the same one, and how long after a folder was made
to look into it again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How to watch, and how often to look without being told."""

    mode: Mode = "auto"
    poll_s: float = 5.0
    """Between two looks at a folder whose file system tells of no changes."""
    reconcile_s: float = 300.0
    """Between two complete comparisons."""


class Look(NamedTuple):
    """What to look at."""

    reason: Literal["begun", "missed", "reconcile", "poll", "touched"]
    """``begun`` and ``missed``: anything may have changed. ``touched``: something has.
    ``reconcile`` and ``poll``: nothing is known to have."""
    paths: frozenset[Path] = frozenset()
    """For ``touched``: the files and folders; for all others it is the whole folder."""


class Gone(NamedTuple):
    """The folder is not there; it is waited for."""

    reason: str


class Watching(NamedTuple):
    """The folder is being watched from now on."""

    how: How
    warning: str = ""
    """Why it is not watched by events although it should be; else empty."""


Notice = Look | Gone | Watching


async def watch(root: Path, *, pace: Pace, stop: asyncio.Event) -> AsyncGenerator[Notice]:
    """Tells when and where to look at a folder, until ``stop`` is set.

    A folder that is not there, or vanishes, is waited for; one that is exchanged for another, as
    by mounting a disk, is begun with anew. A file in place of a folder is polled.
    """
    gone = ""
    while not stop.is_set():
        folder = await asyncio.to_thread(_identify, root)
        if isinstance(folder, str):
            if folder != gone:
                yield Gone(folder)
            gone = folder
            await is_set_within(stop, LOOK_S)
            continue
        gone = ""
        vigil = _Vigil(root, folder, pace, stop)
        async with aclosing(_keep(vigil)) as notices:
            async for notice in notices:
                yield notice


@dataclass(slots=True)
class _Vigil:
    """One stretch of watching, for as long as the folder stays the same one."""

    root: Path
    folder: tuple[int, int]
    pace: Pace
    stop: asyncio.Event
    look_at: float = field(default_factory=time.monotonic)
    """When to see next whether the folder is the same."""
    reconcile_at: float = 0.0
    is_file: bool = False
    again: dict[Path, float] = field(default_factory=dict)
    """New folders, and when to look at them a second time."""

    def __post_init__(self) -> None:
        self.look_at = time.monotonic() + LOOK_S
        self.reconcile_at = time.monotonic() + self.pace.reconcile_s

    async def is_over(self) -> bool:
        """Whether to stop, or the folder is not the same any more; asked once every LOOK_S."""
        if self.stop.is_set():
            return True
        if time.monotonic() < self.look_at:
            return False
        self.look_at = time.monotonic() + LOOK_S
        return await asyncio.to_thread(_identify, self.root) != self.folder

    def due(self) -> list[Look]:
        """What is to be looked at by now without an event."""
        now = time.monotonic()
        looks: list[Look] = []
        if again := frozenset(path for path, when in self.again.items() if when <= now):
            self.again = {path: when for path, when in self.again.items() if when > now}
            looks.append(Look("touched", again))
        if now >= self.reconcile_at:
            self.reconcile_at = now + self.pace.reconcile_s
            looks.append(Look("reconcile"))
        return looks


async def _keep(vigil: _Vigil) -> AsyncGenerator[Notice]:
    silent = await asyncio.to_thread(_silence, vigil)
    warning = ""
    if silent is None:
        async with aclosing(_by_events(vigil)) as notices:
            async for notice in notices:
                if isinstance(notice, CannotListen):
                    warning = f"{vigil.root} is polled: {notice}."
                else:
                    yield notice
        if not warning:
            return
    elif silent:
        warning = f"{vigil.root} is polled: its file system, {silent}, tells of no changes."
    async with aclosing(_by_polling(vigil, warning)) as looks:
        async for look in looks:
            yield look


async def _by_events(vigil: _Vigil) -> AsyncGenerator[Notice | CannotListen]:
    with listening(vigil.root, vigil.stop) as heard:
        begun = False
        while not await vigil.is_over():
            try:
                item = await asyncio.wait_for(heard.get(), _until_due(vigil))
            except TimeoutError:
                pass
            else:
                if isinstance(item, CannotListen):
                    yield item
                    return
                if item is Sign.ENDED:  # the folder vanished, or a name could not be told
                    await is_set_within(vigil.stop, LOOK_S)
                    return
                if not begun:
                    begun = True
                    yield Watching("events")
                    yield Look("begun")
                if isinstance(item, Hint):
                    vigil.again |= dict.fromkeys(item.new_folders, time.monotonic() + LOOK_S)
                    yield _look(vigil.root, item)
            for look in vigil.due():
                yield look


async def _by_polling(vigil: _Vigil, warning: str) -> AsyncGenerator[Notice]:
    yield Watching("polling", warning)
    yield Look("begun")
    poll_at = time.monotonic() + vigil.pace.poll_s
    while not await is_set_within(vigil.stop, min(LOOK_S, max(0.0, poll_at - time.monotonic()))):
        if await vigil.is_over():
            return
        if looks := vigil.due():
            for look in looks:
                yield look
        elif time.monotonic() >= poll_at:
            # a single file was named by its user, whatever the rules say that a walk heeds
            yield Look("reconcile" if vigil.is_file else "poll")
        else:
            continue
        poll_at = time.monotonic() + vigil.pace.poll_s


def _look(root: Path, hint: Hint) -> Look:
    return Look("missed") if root in hint.paths else Look("touched", hint.paths)


def _until_due(vigil: _Vigil) -> float:
    """Seconds until something is to be done without an event."""
    return max(
        0.0, min([vigil.look_at, vigil.reconcile_at, *vigil.again.values()]) - time.monotonic()
    )


def _identify(root: Path) -> tuple[int, int] | str:
    """Which file or folder this is now, or why it cannot be told."""
    try:
        found = root.stat()
        if root.is_dir():
            with os.scandir(root):
                pass
    except OSError as exc:
        return f"{root} cannot be watched: {exc.strerror}. It is waited for."
    return found.st_dev, found.st_ino


def _silence(vigil: _Vigil) -> str | None:
    """Why to poll, empty where no reason is worth a word; None: listen."""
    vigil.is_file = not vigil.root.is_dir()
    if vigil.pace.mode == "polling" or vigil.is_file:
        return ""
    if vigil.pace.mode == "events":
        return None
    return silent_file_system(vigil.root) or None
