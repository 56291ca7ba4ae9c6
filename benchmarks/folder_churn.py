"""A folder of documents that changes all the time, the same way for the same seed."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

TOPICS = ("kitchen", "sea", "space", "Garden")
SENTENCES = (
    "Bread needs flour, water, salt and time before it is baked.",
    "Whales breathe air and can hold their breath for an hour.",
    "The moon moves the tides and shows the same face to the earth.",
    "Roses want sun in the morning and a cut above the third leaf.",
)
LARGE = 150
"""Sections of the one large document, which takes several windows."""


class Churn:
    """Makes, edits, moves and deletes files, and keeps every version that a file ever had."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.versions: dict[str, set[str]] = {}
        """By path below the root: the texts that stood there since ``settle``."""
        self.operations: dict[str, int] = {}
        """How often each was done."""

    def populate(self, files: int) -> None:
        """A folder to begin with."""
        for _ in range(files):
            self.write()
        self.enlarge()

    def step(self) -> None:
        """One random change."""
        often = [self.write, self.edit, self.edit, self.append, self.delete, self.move, self.copy]
        seldom = [self.rename_folder, self.change_case, self.touch, self.restore_time, self.enlarge]
        changes: list[Callable[[], object]] = [*often, *often, *seldom, self.spoil, self.ignore]
        change = self._chance.choice([*changes, self.link])
        change()
        self.operations[change.__name__] = self.operations.get(change.__name__, 0) + 1

    def settle(self) -> None:
        """Forgets all versions but those that stand there now."""
        self.versions = {}
        for path in self._files():
            self._note(path)

    # the changes

    def write(self) -> Path:
        """A new document, or another in the place of one."""
        topic = self._chance.choice(TOPICS)
        name = f"{topic}/{self._chance.randrange(12)}.{self._chance.choice(('md', 'md', 'txt'))}"
        self._put(self.root / name, self._text(self._chance.randrange(1, 9)))
        return self.root / name

    def enlarge(self) -> None:
        sections = self._chance.randrange(LARGE // 2, LARGE)
        self._put(self.root / "large.md", self._text(sections))

    def edit(self) -> None:
        """A sentence more somewhere, so that what follows stands on other lines."""
        if path := self._some():
            lines = path.read_text().split("\n")
            lines.insert(self._chance.randrange(len(lines) + 1), self._sentence())
            self._put(path, "\n".join(lines))

    def append(self) -> None:
        if path := self._some():
            self._put(path, f"{path.read_text()}\n\n{self._text(1)}")

    def delete(self) -> None:
        if path := self._some():
            path.unlink()

    def move(self) -> None:
        if path := self._some():
            target = self.root / self._chance.choice(TOPICS) / f"moved{self._number()}.md"
            self._place(target, lambda: path.replace(target))

    def copy(self) -> None:
        if path := self._some():
            target = path.with_name(f"copy{self._number()}{path.suffix}")
            if target != path:
                self._place(target, lambda: shutil.copy2(path, target))

    def rename_folder(self) -> None:
        folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        if folders:
            folder = self._chance.choice(folders)
            target = self.root / f"{self._chance.choice(TOPICS)}{self._chance.randrange(3)}"
            if not target.exists():
                folder.rename(target)
                for path in self._files():
                    self._note(path)

    def change_case(self) -> None:
        if path := self._some():
            target = path.with_name(path.name.swapcase())
            if not target.exists():
                self._place(target, lambda: path.rename(target))

    def touch(self) -> None:
        if path := self._some():
            path.touch()

    def restore_time(self) -> None:
        """As many bytes and the time of before, within the second: only a second look can tell."""
        path = self.write()
        stat = path.stat()
        self._put(path, path.read_text().replace("the", "TEE", 1), in_place=True)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def spoil(self) -> None:
        """A file that cannot be read as text."""
        if self._chance.random() < 0.3 and (path := self._some()):
            path.write_bytes(bytes(range(256)) * 4)

    def ignore(self) -> None:
        """An ignore file comes, or goes."""
        path = self.root / self._chance.choice(TOPICS) / ".gitignore"
        if path.exists():
            path.unlink()
        elif path.parent.is_dir():
            path.write_text(f"{self._chance.randrange(12)}.*\n")

    def link(self) -> None:
        """A symbolic link, which is not followed, to a file or around in a circle."""
        path = self.root / f"link{self._number()}.md"
        if not path.is_symlink():
            path.symlink_to(self._chance.choice(["large.md", ".", path.name]))

    # their parts

    def _files(self) -> list[Path]:
        return sorted(
            path
            for path in self.root.rglob("*")
            if path.suffix.lower() in (".md", ".txt") and path.is_file() and not path.is_symlink()
        )

    def _some(self) -> Path | None:
        files = [path for path in self._files() if path.read_bytes()[:1] != b"\0"]
        return self._chance.choice(files) if files else None

    def _put(self, path: Path, text: str, *, in_place: bool | None = None) -> None:
        """Writes as editors do: into the file, or into another that takes its place."""
        self.versions.setdefault(self._name(path), set()).add(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._chance.random() < 0.5 if in_place is None else in_place:
            path.write_text(text)
        else:
            beside = path.with_name(f".{path.name}.new")
            beside.write_text(text)
            beside.replace(path)

    def _place(self, target: Path, put: Callable[[], object]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        put()
        self._note(target)

    def _note(self, path: Path) -> None:
        content = path.read_bytes()
        if b"\0" not in content:  # what was spoiled is no version that can be indexed
            self.versions.setdefault(self._name(path), set()).add(content.decode())

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _number(self) -> int:
        return self._chance.randrange(1, 9)

    def _sentence(self) -> str:
        number = self._chance.randrange(10**6)
        return f"{self._chance.choice(SENTENCES)} Number {number} of the lot."

    def _text(self, sections: int) -> str:
        parts = [f"# {self._chance.choice(TOPICS)}"]
        for _ in range(sections):
            body = " ".join(self._sentence() for _ in range(self._chance.randrange(1, 8)))
            parts.append(f"## Note {self._chance.randrange(200)}\n\n{body}")
        return "\n\n".join(parts) + "\n"
