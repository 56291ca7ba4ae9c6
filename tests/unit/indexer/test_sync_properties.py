"""Random sequences of file operations on a real folder: the index must equal the folder.

What it must hold is made without the indexer: every file is parsed and cut by itself.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexer.documents import ParsedDocument
from indexer.parsing import parse
from tests.unit.indexer.index_fakes import Index, Killed, by_hand, look_away, new_index

NAMES = ("one.md", "two.txt", "Three.md", "sub/one.md", "sub/deep/four.txt", "other/one.md")
FOLDERS = ("sub", "other", "sub/deep", "fresh")
PARAGRAPHS = tuple(
    f"## Part {number}\n\nParagraph {number} says {word}.\n"
    for number, word in enumerate(("yes", "no", "perhaps", "never", "always", ""))
)


class Operation(NamedTuple):
    """One change of a folder; one that cannot be done now does nothing."""

    do: Callable[..., None]
    arguments: tuple[object, ...]

    def apply(self, root: Path) -> None:
        with contextlib.suppress(OSError):  # such as writing through a link to itself
            self.do(root, *self.arguments)


def write(root: Path, name: str, parts: list[str]) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def delete(root: Path, name: str) -> None:
    (root / name).unlink(missing_ok=True)


def move(root: Path, old: str, new: str) -> None:
    if (root / old).is_file():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).replace(root / new)


def copy(root: Path, old: str, new: str) -> None:
    if (root / old).is_file() and old != new:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / old, root / new)


def move_folder(root: Path, old: str, new: str) -> None:
    if (root / old).is_dir() and not (root / new).exists() and not new.startswith(f"{old}/"):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)


def spoil(root: Path, name: str) -> None:
    if (root / name).is_file():
        (root / name).write_bytes(bytes(range(256)))


def change_case(root: Path, name: str) -> None:
    path = root / name
    if path.is_file() and not path.with_name(path.name.swapcase()).exists():
        path.rename(path.with_name(path.name.swapcase()))


def touch(root: Path, name: str) -> None:
    if (root / name).is_file():
        (root / name).touch()


def edit_unseen(root: Path, name: str) -> None:
    """As many bytes as before, at the time of before."""
    path = root / name
    if path.is_file():
        stat = path.stat()
        with path.open("r+b") as file:
            file.write(path.read_bytes().swapcase())
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def ignore(root: Path, name: str) -> None:
    """An ignore file comes, or goes."""
    rules = (root / name).with_name(".tandemignore")
    if rules.exists():
        rules.unlink()
    elif rules.parent.is_dir():
        rules.write_text(Path(name).name + "\n")


def link(root: Path, old: str, new: str) -> None:
    """A symbolic link, perhaps to itself or to nothing, in the place of a file."""
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / new).unlink(missing_ok=True)
    (root / new).symlink_to(root / old)


def permit(root: Path, name: str, mode: int) -> None:
    if (root / name).is_file():
        (root / name).chmod(mode)


ONE = Operation(write, ("one.md", [PARAGRAPHS[0]]))
ANOTHER = Operation(write, ("one.md", [PARAGRAPHS[1]]))
names = st.sampled_from(NAMES)
folders = st.sampled_from(FOLDERS)
texts = st.lists(st.sampled_from(PARAGRAPHS), max_size=5)
operations = st.one_of(
    st.builds(Operation, st.just(write), st.tuples(names, texts)),
    st.builds(Operation, st.just(delete), st.tuples(names)),
    st.builds(Operation, st.just(move), st.tuples(names, names)),
    st.builds(Operation, st.just(copy), st.tuples(names, names)),
    st.builds(Operation, st.just(move_folder), st.tuples(folders, folders)),
    st.builds(Operation, st.sampled_from((spoil, change_case, touch)), st.tuples(names)),
    st.builds(Operation, st.sampled_from((edit_unseen, ignore)), st.tuples(names)),
    st.builds(Operation, st.just(link), st.tuples(names, names)),
    st.builds(Operation, st.just(permit), st.tuples(names, st.sampled_from((0o600, 0o000)))),
)
batches = st.lists(st.lists(operations, min_size=1, max_size=5), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(batches=batches)
def test_the_index_equals_the_folder_after_any_operations(
    batches: list[list[Operation]],
) -> None:
    asyncio.run(_follow(batches, [None] * 4))


@settings(max_examples=60, deadline=None)
@example(batches=[[ONE], [ANOTHER]], fuses=[1, 1, 1, 1])
@given(batches=batches, fuses=st.lists(st.sampled_from((1, 2, 3, 0, 4)), min_size=4, max_size=4))
def test_the_index_equals_the_folder_after_any_operations_and_crashes(
    batches: list[list[Operation]], fuses: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.sync.mend", look_away)  # what was intended has to suffice
        asyncio.run(_follow(batches, fuses))


@settings(max_examples=40, deadline=None)
@given(batches=batches, meanwhile=st.lists(operations, min_size=1, max_size=8))
def test_the_index_equals_the_folder_after_changes_while_it_is_read(
    batches: list[list[Operation]], meanwhile: list[Operation]
) -> None:
    waiting = list(meanwhile)
    roots: list[Path] = []

    def parse_late(path: Path, **more: Any) -> ParsedDocument:
        document = parse(path, **more)
        if waiting:
            waiting.pop().apply(roots[-1])
        return document

    async def follow() -> None:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "root"
            root.mkdir()
            roots.append(root)
            index = new_index(Path(temporary) / "data")
            try:
                for batch in batches:
                    for operation in batch:
                        operation.apply(root)
                    await index.sync(root)
                waiting.clear()
                await _require_equal(index, root)
            finally:
                await index.manifest.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.sync.parse", parse_late)
        asyncio.run(follow())


async def _require_equal(index: Index, root: Path) -> None:
    """Another sync makes the index equal to the folder, and leaves nothing to be put right."""
    await index.sync(root)
    assert index.store.points == by_hand(root)
    assert index.store.visibility.hidden == set(await index.manifest.unsettled()) == set()
    assert await index.manifest.count() == len(index.store.points)


@settings(max_examples=40, deadline=None)
@example(
    batches=[
        [Operation(write, ("sub/one.md", [PARAGRAPHS[0]]))],
        [Operation(ignore, ("one.md",))],
    ]
)
@given(batches=batches)
def test_looking_only_where_something_was_touched_does_the_same(
    batches: list[list[Operation]],
) -> None:
    asyncio.run(_follow_touched(batches))


def _places(root: Path, operation: Operation) -> set[Path]:
    """The files and folders that an operation names, and where links have led it."""
    named = {root / name for name in operation.arguments if isinstance(name, str)}
    if operation.do is ignore:  # a file of rules speaks for its folder, as ``file_events`` tells
        named = {path.parent for path in named}
    return named | {Path(os.path.realpath(path)) for path in named}


async def _follow_touched(batches: list[list[Operation]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        root.mkdir()
        index = new_index(Path(temporary) / "data")
        try:
            await index.sync(root)
            for batch in batches:
                touched: set[Path] = set()
                for operation in batch:
                    operation.apply(root)
                    touched |= _places(root, operation)
                    if operation.do is change_case:
                        touched |= {path.with_name(path.name.swapcase()) for path in touched}
                await index.sync(*touched, touched=True)
                assert index.store.points == by_hand(root)
        finally:
            await index.manifest.aclose()


async def _follow(batches: list[list[Operation]], fuses: Sequence[int | None]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        root.mkdir()
        index = new_index(Path(temporary) / "data")
        try:
            for batch, fuse in zip(batches, fuses, strict=False):
                for operation in batch:
                    operation.apply(root)
                if fuse is not None:
                    await _crash(index, root, fuse)
                else:
                    await _sync_embedding_only_what_is_new(index, root)
            await _require_equal(index, root)
        finally:
            await index.manifest.aclose()


async def _sync_embedding_only_what_is_new(index: Index, root: Path) -> None:
    before = {point.metadata["content_hash"] for point in index.store.points.values()}
    index.embeddings.embedded.clear()
    report = await index.sync(root)
    after = {point.metadata["content_hash"] for point in index.store.points.values()}
    assert len(index.embeddings.embedded) == len(after - before) == report.chunks_embedded


async def _crash(index: Index, root: Path, fuse: int) -> None:
    index.store.fuse = fuse
    try:
        await index.sync(root)
    except Killed:
        await index.restart()
    index.store.fuse = None
