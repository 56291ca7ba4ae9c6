"""Which files of a folder are found, and which are not."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from errors import PathError
from indexer.records import Settled, Stamp
from indexer.sources import SkippedFile, SourceFile, discover


def write(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(root: Path, *, below: str = "", max_bytes: int = 1000) -> list[str]:
    files = discover(root, max_bytes=max_bytes, below=below)
    return [file.source for file in files if isinstance(file, SourceFile)]


def skipped(root: Path, *, max_bytes: int = 1000) -> dict[str, str]:
    files = discover(root, max_bytes=max_bytes)
    return {file.source: file.reason for file in files if isinstance(file, SkippedFile)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def test_files_come_with_what_tells_whether_they_changed(root: Path) -> None:
    write(root, "a/b.md", text="four")
    [file] = discover(root, max_bytes=1000)
    stat = (root / "a/b.md").stat()
    assert file == SourceFile(
        str(root / "a/b.md"), root, "notes/a/b.md", 4, stat.st_mtime_ns, stat.st_ino
    )
    assert isinstance(file, SourceFile)
    assert file.path == root / "a/b.md"


def test_the_order_is_that_of_the_names(root: Path) -> None:
    write(root, "b.md", "a/z.md", "a.md", "c/a.md", "a/b/c.md")
    assert found(root) == [
        "notes/a.md",
        "notes/b.md",
        "notes/a/z.md",
        "notes/a/b/c.md",
        "notes/c/a.md",
    ]


def test_hidden_files_tools_folders_and_binary_suffixes_are_left_out_silently(root: Path) -> None:
    write(root, ".git/x.md", ".env", ".venv/x.py", "node_modules/x.js", "__pycache__/x.py")
    write(root, "photo.JPG", "backup.tar.gz", "server.pem", "keep.txt", "Makefile")
    assert found(root) == ["notes/Makefile", "notes/keep.txt"]
    assert skipped(root) == {}


def test_a_file_as_root_stands_for_its_folder(root: Path) -> None:
    write(root, "a.md", "b.md", ".gitignore", text="*.md")
    [file] = discover(root / "a.md", max_bytes=1000)
    assert (file.source, file.path) == ("notes/a.md", root / "a.md")
    assert isinstance(file, SourceFile)
    assert file.root == root


def test_below_restricts_the_walk_and_keeps_the_rules_above(root: Path) -> None:
    write(root, "a/x.md", "a/b/y.md", "a/b/z.txt", "c.md")
    write(root, ".gitignore", text="*.txt")
    assert found(root, below="a/b") == ["notes/a/b/y.md"]
    assert found(root, below="a/b/y.md") == ["notes/a/b/y.md"]


def test_a_path_that_does_not_exist_is_the_users_error(root: Path) -> None:
    with pytest.raises(PathError, match="nowhere' cannot be read: No such file"):
        discover(root / "nowhere", max_bytes=1000)
    with pytest.raises(PathError):
        discover(root, below="nowhere", max_bytes=1000)


def test_a_large_file_is_reported_with_the_setting_that_allows_it(root: Path) -> None:
    write(root, "large.txt", text="x" * 1001)
    write(root, "largest.txt", text="x" * 1000)
    assert found(root) == ["notes/largest.txt"]
    assert "TANDEM_MAX_FILE_BYTES" in skipped(root)["notes/large.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_reported(root: Path) -> None:
    write(root, "locked/a.md", "b.md")
    (root / "locked").chmod(0)
    try:
        assert found(root) == ["notes/b.md"]
        assert skipped(root) == {"notes/locked": "the folder cannot be listed: Permission denied"}
    finally:
        (root / "locked").chmod(0o700)


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.md")
    write(root, "a.md")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "out.md").symlink_to(tmp_path / "outside/secret.md")
    (root / "loop").symlink_to(root)
    (root / "broken.md").symlink_to(root / "nothing")
    assert found(root) == ["notes/a.md"]


def test_a_root_that_is_a_link_is_walked(root: Path, tmp_path: Path) -> None:
    write(root, "a.md")
    (tmp_path / "link").symlink_to(root)
    assert found(tmp_path / "link") == ["link/a.md"]


def test_what_is_not_a_regular_file_is_never_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as unix:
        previous = Path.cwd()
        os.chdir(root)  # a socket's path is limited to about 100 bytes
        try:
            unix.bind("socket.md")
        finally:
            os.chdir(previous)
    assert found(root) == []
    assert skipped(root) == {
        "notes/pipe.md": "it is not a regular file",
        "notes/socket.md": "it is not a regular file",
    }


def test_an_ignore_file_that_is_a_pipe_does_not_block(root: Path) -> None:
    write(root, "a.md")
    os.mkfifo(root / ".gitignore")
    assert found(root) == ["notes/a.md"]


def test_names_that_are_not_utf8_keep_a_source_that_is(root: Path) -> None:
    name = os.fsencode(root) + b"/caf\xe9\nx.md"
    Path(os.fsdecode(name)).write_bytes(b"x")
    [file] = discover(root, max_bytes=1000)
    assert file.source.encode() == b"notes/caf\\xe9\nx.md"
    assert file.path.read_bytes() == b"x"


def test_folders_nest_deeper_than_recursion_allows(root: Path) -> None:
    path = root
    for _ in range(1200):
        path = path / "d"
        os.mkdir(path)  # noqa: PTH102 - makedirs recurses
    (path / "a.md").write_text("x")
    try:
        assert len(found(root)) == 1
    finally:
        (path / "a.md").unlink()
        while path != root:  # pytest's own cleaning recurses
            path.rmdir()
            path = path.parent


IGNORING = {
    ".gitignore": "*.log\n!keep.log\nbuild/\n/top\n**/deep/*.tmp.md\na/**/z.md\n\\#odd\n# no\n"
    "[ab].txt\ntrailing.md   \n!\n[\n",
    "a/.gitignore": "!important.log\nlocal.*\n/only/here.md\n",
    "a/b/.gitignore": "*\n!*.md\n",
}
_FILES = """
    x.log keep.log top build/x.md a/build/y.md a/top sub/top deep/q.tmp.md a/deep/q.tmp.md a/z.md
    a/b/z.md a/b/c/z.md a/b/w.md a/b/w.txt a/important.log important.log a/local.md local.md #odd
    a/only/here.md only/here.md a.txt b.txt c.txt sub/a.txt trailing.md buildx/y.md a/b/c/w.md
"""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what the rules are compared with")
def test_the_rules_are_those_of_git(root: Path) -> None:
    write(root, *_FILES.split())
    for name, rules in IGNORING.items():
        (root / name).write_text(rules)
    git = ["git", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True, timeout=30)  # noqa: S603 - no input
    listed = subprocess.run(  # noqa: S603 - no input
        [*git, "ls-files", "-o", "--exclude-per-directory=.gitignore", "-z"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    expected = {f"notes/{name}" for name in listed.split("\0") if name and ".git" not in name}
    assert set(found(root)) == expected
    assert "notes/a/b/w.md" in expected
    assert "notes/a/deep/q.tmp.md" not in expected


def test_tandemignore_adds_to_gitignore_and_wins_over_it(root: Path) -> None:
    write(root, "a.md", "b.md", "c.md", "d.md")
    write(root, ".gitignore", text="b.md\nc.md\n")
    write(root, ".tandemignore", text="a.md\n!c.md\n")
    assert found(root) == ["notes/c.md", "notes/d.md"]


def stamp(root: Path, name: str) -> Stamp:
    stat = (root / name).stat()
    return (f"notes/{name}", stat.st_size, stat.st_mtime_ns, stat.st_ino)


def test_settled_files_are_passed_over_and_noted(root: Path) -> None:
    write(root, "a.md", "deep/b.md", "new.md")
    known = {stamp(root, "a.md"), stamp(root, "deep/b.md")}
    settled = Settled(known, [])
    files = discover(root, max_bytes=1000, settled=settled)
    assert [file.source for file in files] == ["notes/new.md"]
    assert sorted(settled.passed) == ["notes/a.md", "notes/deep/b.md"]
    assert settled.is_all()


def test_what_differs_from_its_stamp_or_is_ignored_by_now_is_not_settled(root: Path) -> None:
    write(root, "longer.md", "ignored.md", ".hidden.md", "gone.md")
    names = ("longer.md", "ignored.md", ".hidden.md", "gone.md")
    settled = Settled({stamp(root, name) for name in names}, [])
    write(root, "longer.md", text="more")
    write(root, ".gitignore", text="ignored.md")
    (root / "gone.md").unlink()
    files = discover(root, max_bytes=1000, settled=settled)
    assert [file.source for file in files] == ["notes/longer.md"]
    assert not settled.passed
