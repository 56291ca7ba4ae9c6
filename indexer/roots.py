"""Which part of which root a given path means, so that nested folders are never stored twice."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from errors import PathError
from indexer.records import Root


class Scope(NamedTuple):
    """What one sync covers of one root."""

    root: Path
    below: str
    """The file or folder inside the root, with ``/``; empty for all of it."""
    adopted: tuple[str, ...]
    """Known roots inside, whose files become this root's."""
    touched: bool = False
    """Something was seen to change there; nobody has said that it should be indexed."""

    @property
    def path(self) -> Path:
        """The covered file or folder."""
        return self.root / self.below


def existing(paths: Sequence[Path]) -> list[Path]:
    """The paths made absolute, links followed; outer ones first, without repetition.

    Raises:
        PathError: there are none, or one of them is missing or cannot be read.
    """
    if not paths:
        raise PathError("No path was given: name at least one file or folder to index.")
    real = {_readable(path) for path in paths}
    return sorted(real, key=lambda path: (len(path.parts), path))


def resolve(paths: Sequence[Path], known: Sequence[Root]) -> list[Scope]:
    """The scopes for ``existing`` paths: inside a known root it is that root's, else a new one's.

    A single file makes its folder the root, and only the file is covered.

    Raises:
        PathError: a known root that would be taken over is not there.
    """
    roots = {Path(root.path) for root in known}
    scopes: list[Scope] = []
    for path in paths:
        if any(path.is_relative_to(scope.path) for scope in scopes):
            continue
        root = _home(path, roots)
        roots.add(root)
        below = path.relative_to(root).as_posix() if path != root else ""
        scopes.append(Scope(root, below, _adopted(path, root, known)))
    return scopes


def covering(touched: Sequence[Path], known: Sequence[Root]) -> list[Scope]:
    """The scopes for absolute paths in which something has changed, whether or not they exist.

    Where nothing is indexed, nothing is covered; a path below another of them adds nothing.
    """
    roots = {Path(root.path) for root in known}
    covered: set[Path] = set()
    scopes: list[Scope] = []
    for path in sorted(touched, key=lambda path: len(path.parts)):
        root = next((parent for parent in (path, *path.parents) if parent in roots), None)
        if root is None or path in covered or not covered.isdisjoint(path.parents):
            continue
        covered.add(path)
        below = path.relative_to(root).as_posix() if path != root else ""
        scopes.append(Scope(root, below, (), touched=True))
    return scopes


def identify(path: Path) -> Root:
    """The folder as it is now. Raises PathError where it is gone."""
    try:
        stat = path.stat()
    except OSError as exc:
        raise PathError(f"{path} cannot be read: {exc.strerror}.") from exc
    return Root(str(path), stat.st_dev, stat.st_ino)


def refuse_unmounted(scope: Scope, known: Sequence[Root]) -> None:
    """For a root in which nothing was found although files of it are indexed.

    Raises:
        PathError: it is not the folder that was indexed: probably a disk is not mounted.
    """
    now = identify(scope.root)
    before = next((root for root in known if root.path == now.path), now)
    if before != now:
        raise PathError(
            f"{scope.root} is empty and is not the folder that was indexed: is a disk not mounted? "
            "Nothing was removed from the index. If the files are really gone, put any file into "
            "the folder and index it again."
        )


def _readable(path: Path) -> Path:
    try:
        real = path.expanduser().resolve(strict=True)
        if real.is_dir():
            with os.scandir(real) as entries:
                next(entries, None)
        elif not real.is_file():
            raise PathError(f"{path} is neither a file nor a folder.")
    except FileNotFoundError as exc:
        raise PathError(
            f"{path} does not exist. Check the spelling, and that its disk is mounted; nothing "
            "was changed in the index."
        ) from exc
    except (OSError, RuntimeError, ValueError) as exc:
        raise PathError(f"{path} cannot be read: {exc}.") from exc
    return real


def _home(path: Path, roots: set[Path]) -> Path:
    """The innermost known root around a path; else the path itself, or a file's folder."""
    around = [root for root in roots if path.is_relative_to(root)]
    if around:
        return max(around, key=lambda root: len(root.parts))
    return path if path.is_dir() else path.parent


def _adopted(path: Path, root: Path, known: Sequence[Root]) -> tuple[str, ...]:
    inside = [Path(r.path) for r in known if Path(r.path).is_relative_to(path)]
    adopted = tuple(str(inner) for inner in inside if inner != root)
    for inner in adopted:
        if not Path(inner).is_dir():
            raise PathError(
                f"{inner} is indexed and lies in {path}, but is not there now: is a disk not "
                "mounted? Nothing was changed in the index."
            )
    return adopted
