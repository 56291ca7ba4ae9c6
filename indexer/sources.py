"""The files of a folder that are worth indexing, found by name and ``stat`` alone.

No file is opened here but ignore files, so walking a large unchanged tree costs little more than
``os.scandir``, and a FIFO, socket or device can do no harm.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from errors import PathError
from indexer.ignoring import IgnoreRules, Selection
from indexer.records import Settled
from indexer.suffixes import NOT_TEXT, SKIPPED_FOLDERS


class SourceFile(NamedTuple):
    """A regular file below a root, as it was when its folder was listed."""

    location: str
    """The absolute path, as the operating system takes it; a ``Path`` costs as much as a stat."""
    root: Path
    source: str
    """``{root.name}/{path below the root}`` with ``/``; always valid UTF-8."""
    size: int
    """In bytes."""
    mtime_ns: int
    inode: int

    @property
    def path(self) -> Path:
        """The file's absolute path."""
        return Path(self.location)


class SkippedFile(NamedTuple):
    """A file or folder that is left out although its owner might expect it in the index."""

    path: Path
    source: str
    reason: str


class _Walk(NamedTuple):
    root: Path
    max_bytes: int
    selection: Selection | None
    settled: Settled


def discover(
    root: Path,
    *,
    max_bytes: int,
    below: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    settled: Settled | None = None,
) -> Iterator[SourceFile | SkippedFile]:
    """Every file of ``root`` to be indexed, folder by folder, in the order of their names.

    Hidden files and folders, what ``.gitignore`` and ``.tandemignore`` name (at every level from
    the root down; the latter wins), folders of tools, and suffixes that never hold text are left
    out silently. Symbolic links are not followed: what they point to is found where it is.

    Args:
        root: a folder; a file stands for its folder with ``below`` naming it.
        max_bytes: larger files are skipped with a reason.
        below: the file or folder inside the root to restrict the walk to, with ``/``.
        include: patterns in git's syntax, relative to the root; only what one of them names is
            found. All, where there are none.
        exclude: patterns of what is left out, whatever ``include`` and the ignore files say.
        settled: files to pass over where ``stat`` says the same of them; they are noted there.

    Raises:
        PathError: the root, or what is below it, does not exist or cannot be looked at.
        SettingsError: a pattern cannot be understood.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve would follow the user's links
    try:
        if not below and not root.is_dir():
            root, below = root.parent, root.name
        found = (root / below).stat()
    except OSError as exc:
        raise PathError(f"{str(root / below)!r} cannot be read: {exc.strerror}.") from exc
    selection = Selection.of(f"{root.name}/", include=include, exclude=exclude)
    walk = _Walk(root, max_bytes, selection, settled or _nothing())
    if stat.S_ISDIR(found.st_mode):
        is_excluded = selection is not None and selection.excludes_folder(below)
        return iter(()) if is_excluded else _files(walk, below)
    source = f"{root.name}/{below}"
    if selection is not None and selection.leaves_out(source):
        reason = "TANDEM_INCLUDE and TANDEM_EXCLUDE leave it out"
        return iter([SkippedFile(root / below, _readable(source), reason)])
    # Named by the user: no ignore file applies.
    return iter([_judge(walk, str(root / below), source, found)])


def look_at(
    root: Path,
    below: str,
    *,
    max_bytes: int,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Iterator[SourceFile | SkippedFile]:
    """What ``discover`` would come across at ``below``, and under it, on its walk through the root.

    Unlike a file that the user names, this one may be ignored, hidden or gone: then it is nothing.
    """
    selection = Selection.of(f"{root.name}/", include=include, exclude=exclude)
    walk = _Walk(root, max_bytes, selection, _nothing())
    folder, prefix, rules = str(root), f"{root.name}/", None
    entry: _Entry | None = None
    for name in Path(below).parts:
        if entry is not None:
            folder, prefix = entry.path, f"{prefix}{entry.name}/"
        rules = IgnoreRules.read(folder, prefix, rules)
        try:
            entry = _Entry(f"{folder}/{name}", name, os.lstat(f"{folder}/{name}"))
        except OSError:
            return
        if _is_left_out(entry, prefix, rules, selection):
            return
    if entry is None or entry.is_dir(follow_symlinks=False):
        yield from _files(walk, below)
    else:
        yield _judge(walk, entry.path, prefix + entry.name, entry.found)


class _Entry(NamedTuple):
    """One entry of a folder, looked at without listing the folder."""

    path: str
    name: str
    found: os.stat_result

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.found.st_mode)

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        return stat.S_ISDIR(self.found.st_mode)


def _files(walk: _Walk, below: str) -> Iterator[SourceFile | SkippedFile]:
    """Depth first, with a stack of its own: folders may nest deeper than Python's recursion."""
    prefix = f"{walk.root.name}/{below}/" if below else f"{walk.root.name}/"
    pending = [(str(walk.root / below), prefix, _rules_above(walk.root, below))]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except FileNotFoundError:
            continue  # deleted since its parent was listed
        except OSError as exc:
            reason = f"the folder cannot be listed: {exc.strerror}"
            yield SkippedFile(Path(folder), _readable(prefix.rstrip("/")), reason)
            continue
        rules = IgnoreRules.read(folder, prefix, above, {entry.name for entry in listed})
        if walk.settled.stamps:
            listed = _unsettled(listed, prefix, rules, walk)
        folders = []
        for entry in sorted(listed, key=attrgetter("name")):
            if _is_left_out(entry, prefix, rules, walk.selection):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{prefix}{entry.name}/", rules))
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # deleted since the folder was listed
            yield _judge(walk, entry.path, prefix + entry.name, found)
        pending += reversed(folders)


def _unsettled(
    listed: list[os.DirEntry[str]], prefix: str, rules: IgnoreRules | None, walk: _Walk
) -> list[os.DirEntry[str]]:
    """The entries of a folder that need more than a ``stat``; notes the others.

    This is what a sync of an unchanged tree spends its time on: hence so few calls.
    """
    (stamps, passed), selection, others = walk.settled, walk.selection, []
    for entry in listed:
        name = entry.name
        source = prefix + name
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # deleted since the folder was listed
        if (
            (source, found.st_size, found.st_mtime_ns, found.st_ino) in stamps
            and name[0] != "."
            and name[name.rfind(".") :].lower() not in NOT_TEXT
            and not (rules is not None and rules.ignore(source))
            and not (selection is not None and selection.leaves_out(source))
        ):
            passed.append(source)
        else:
            others.append(entry)
    return others


def _nothing() -> Settled:
    return Settled(set(), [])


def _rules_above(root: Path, below: str) -> IgnoreRules | None:
    """The rules that the folders from the root down to ``below`` lay down, itself left out."""
    rules: IgnoreRules | None = None
    folder, prefix = root, f"{root.name}/"
    for part in Path(below).parts:
        rules = IgnoreRules.read(str(folder), prefix, rules)
        folder, prefix = folder / part, f"{prefix}{part}/"
    return rules


def _is_left_out(
    entry: os.DirEntry[str] | _Entry,
    prefix: str,
    rules: IgnoreRules | None,
    selection: Selection | None,
) -> bool:
    name = entry.name
    if name[0] == "." or entry.is_symlink():
        return True
    path = prefix + name
    if entry.is_dir(follow_symlinks=False):
        path += "/"
        if name in SKIPPED_FOLDERS:
            return True
    elif name[name.rfind(".") :].lower() in NOT_TEXT:
        return True
    if rules is not None and rules.ignore(path):
        return True
    return selection is not None and selection.leaves_out(path)


def _judge(walk: _Walk, path: str, source: str, found: os.stat_result) -> SourceFile | SkippedFile:
    size = found.st_size
    if stat.S_ISREG(found.st_mode) and size <= walk.max_bytes:
        return SourceFile(path, walk.root, _readable(source), size, found.st_mtime_ns, found.st_ino)
    reason = "it is not a regular file"
    if stat.S_ISREG(found.st_mode):
        reason = f"it has {size:,} bytes; TANDEM_MAX_FILE_BYTES allows {walk.max_bytes:,}"
    return SkippedFile(Path(path), _readable(source), reason)


def _readable(source: str) -> str:
    """A name that is not UTF-8 with its odd bytes spelled out: sources travel as JSON."""
    if source.isascii():
        return source
    return os.fsencode(source).decode("utf-8", "backslashreplace")
