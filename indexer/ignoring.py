"""What ``.gitignore`` and ``.tandemignore`` files leave out, and what the settings do."""

import fnmatch
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pathspec import GitIgnoreSpec

from errors import SettingsError

IGNORE_FILES = (".gitignore", ".tandemignore")
"""In rising precedence, both in git's syntax."""

_MAX_BYTES = 1_000_000
"""No ignore file is larger; a device of that name must not be read for ever."""


class IgnoreRules(NamedTuple):
    """The rules of one folder, before those of the folders above it."""

    prefix: str
    """The path of the folder as the paths to be judged begin with it, ending with ``/``."""
    patterns: GitIgnoreSpec
    sieve: "_Sieve"
    above: "IgnoreRules | None"

    @classmethod
    def read(
        cls, folder: str, prefix: str, above: Self | None, names: Collection[str] = IGNORE_FILES
    ) -> Self | None:
        """The rules that hold in a folder: its own first, then those that hold above it.

        ``names`` are the folder's entries where they are known. An ignore file that cannot be
        read lays down no rules.
        """
        lines = [
            line
            for name in IGNORE_FILES
            if name in names
            for line in _usable_lines(Path(folder, name))
        ]
        if not lines:
            return above
        return cls(prefix, GitIgnoreSpec.from_lines(lines), _sieve(lines), above)

    def ignore(self, path: str) -> bool:
        """Whether a path is left out; a folder's path ends with ``/``."""
        rules: IgnoreRules | None = self
        while rules is not None:
            below = path[len(rules.prefix) :]
            if rules.sieve.may_name(below):
                verdict = rules.patterns.check_file(below).include
                if verdict is not None:
                    return verdict
            rules = rules.above
        return False


class Selection(NamedTuple):
    """What the settings want of a root, and what they leave out of it."""

    prefix: str
    """The root's name, with which the paths to be judged begin, ending with ``/``."""
    include: GitIgnoreSpec | None
    exclude: IgnoreRules | None

    @classmethod
    def of(cls, prefix: str, *, include: Sequence[str], exclude: Sequence[str]) -> Self | None:
        """The selection by patterns in git's syntax, relative to the root; None without any.

        Raises:
            SettingsError: a pattern cannot be understood.
        """
        if not include and not exclude:
            return None
        wanted, unwanted = _spec(include, "TANDEM_INCLUDE"), _spec(exclude, "TANDEM_EXCLUDE")
        rules = IgnoreRules(prefix, unwanted, _sieve(list(exclude)), None) if exclude else None
        return cls(prefix, wanted if include else None, rules)

    def leaves_out(self, path: str) -> bool:
        """Whether a file, or a folder, whose path ends with ``/``, is left out together with all
        that it holds."""
        if self.exclude is not None and self.exclude.ignore(path):
            return True
        if self.include is None or path.endswith("/"):  # it may hold what is wanted
            return False
        return not self.include.check_file(path[len(self.prefix) :]).include

    def excludes_folder(self, below: str) -> bool:
        """Whether a folder of the root, or one around it, is excluded."""
        parts = below.split("/") if below else []
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return any(self.leaves_out(f"{self.prefix}{folder}/") for folder in folders)


def _spec(patterns: Sequence[str], setting: str) -> GitIgnoreSpec:
    for pattern in patterns:
        if not _is_usable(pattern):
            raise SettingsError(
                f"{setting}: {pattern!r} is no pattern in git's syntax. Patterns are such as "
                "*.md or drafts/, separated by commas."
            )
    return GitIgnoreSpec.from_lines(patterns)


class _Sieve(NamedTuple):
    """Two expressions looser than the patterns, because asking those about each file would take
    longer than all the rest of a walk."""

    names: re.Pattern[str] | None
    """Patterns for the last part of a path; the folders before it were judged on their own."""
    paths: re.Pattern[str] | None

    def may_name(self, path: str) -> bool:
        """Whether a pattern might speak of a path."""
        path = path.removesuffix("/")
        return bool(
            (self.names and self.names.match(path, path.rfind("/") + 1))
            or (self.paths and self.paths.match(path))
        )


def _sieve(lines: list[str]) -> _Sieve:
    names: set[str] = set()
    paths: set[str] = set()
    for line in lines:
        # A bracket becomes a star: its syntax differs from that of fnmatch in the details.
        plain, bracket, _ = line.strip().lstrip("!").rstrip("/").replace("\\", "").partition("[")
        glob = re.sub(r"\*\*/|/\*\*|\*\*", "*", plain + ("*" if bracket else ""))
        (paths if "/" in glob else names).add(fnmatch.translate(glob.lstrip("/")))
    return _Sieve(_any_of(names), _any_of(paths))


def _any_of(expressions: set[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(sorted(expressions))) if expressions else None


def _usable_lines(path: Path) -> list[str]:
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return []
    return [line for line in text.splitlines() if _is_usable(line)]


def _is_usable(line: str) -> bool:
    """Whether git would make a rule of a line: it drops what it cannot understand."""
    if not line.strip() or line.startswith("#"):
        return False
    try:
        rules = GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return any(rule.include is not None for rule in rules.patterns)
