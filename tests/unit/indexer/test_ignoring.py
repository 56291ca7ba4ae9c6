"""What the settings include and exclude, beside the ignore files."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from errors import SettingsError
from indexer.sources import SkippedFile, SourceFile, discover


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "notes"
    for name in ("a.md", "b.txt", "docs/c.md", "docs/d.rst", "docs/drafts/e.md", "drafts/f.md"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return root


def found(
    root: Path, *, below: str = "", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[str]:
    files = discover(root, max_bytes=1000, below=below, include=include, exclude=exclude)
    return sorted(file.source for file in files if isinstance(file, SourceFile))


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.md"], [], ["a.md", "docs/c.md", "docs/drafts/e.md", "drafts/f.md"]),
        (["docs/"], [], ["docs/c.md", "docs/d.rst", "docs/drafts/e.md"]),
        (["/drafts", "*.txt"], [], ["b.txt", "drafts/f.md"]),
        (["docs/*.md"], [], ["docs/c.md"]),
        (["*.md", "!docs/**"], [], ["a.md", "drafts/f.md"]),
        ([], ["drafts/"], ["a.md", "b.txt", "docs/c.md", "docs/d.rst"]),
        ([], ["/drafts/", "*.rst"], ["a.md", "b.txt", "docs/c.md", "docs/drafts/e.md"]),
        (["*.md"], ["docs/"], ["a.md", "drafts/f.md"]),
        (["a.md"], ["*.md"], []),
        (["*.nothing"], [], []),
    ],
)
def test_only_what_is_included_and_not_excluded_is_found(
    root: Path, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    names = [f"notes/{name}" for name in expected]
    assert found(root, include=include, exclude=exclude) == names


def test_ignore_files_hold_beside_the_patterns(root: Path) -> None:
    (root / ".gitignore").write_text("a.md\n")
    (root / ".tandemignore").write_text("!drafts/\n")
    assert found(root, include=["*.md"], exclude=["drafts/"]) == ["notes/docs/c.md"]


def test_patterns_hold_below_a_part_of_the_root(root: Path) -> None:
    assert found(root, below="docs", include=["/docs/*.md"]) == ["notes/docs/c.md"]
    assert found(root, below="docs/drafts", exclude=["drafts/"]) == []
    assert found(root, below="docs/drafts", exclude=["docs/"]) == []


def test_a_file_named_by_the_user_is_reported_where_the_patterns_leave_it_out(root: Path) -> None:
    assert found(root, below="a.md", include=["*.md"]) == ["notes/a.md"]
    [skipped] = discover(root, max_bytes=1000, below="a.md", exclude=["*.md"])
    assert isinstance(skipped, SkippedFile)
    assert "TANDEM_EXCLUDE" in skipped.reason


@pytest.mark.parametrize("pattern", ["!", "[", "# remark", "\\", "/"])
@pytest.mark.parametrize("setting", ["include", "exclude"])
def test_a_pattern_that_says_nothing_is_the_users_error(
    root: Path, setting: str, pattern: str
) -> None:
    patterns = {"include": [], "exclude": [], setting: ["*.md", pattern]}
    with pytest.raises(SettingsError, match=f"TANDEM_{setting.upper()}"):
        found(root, include=patterns["include"], exclude=patterns["exclude"])
