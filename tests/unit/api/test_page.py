"""The page's own files: they name each other rightly, and ask for nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from api.page import WEB, Files

FILES = sorted(WEB.iterdir())
TEXTS = [path for path in FILES if path.suffix in {".html", ".css", ".js"}]


@pytest.mark.parametrize("file", TEXTS, ids=lambda path: path.name)
def test_a_file_of_the_page_needs_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", text))
    assert addresses <= {"http://www.w3.org"}  # a name, never fetched
    assert "@import" not in text
    assert not re.search(r"\son\w+=|\sstyle=|<style", text)  # the policy would refuse them


def test_everything_that_the_files_name_is_there() -> None:
    named: set[str] = set()
    for file in TEXTS:
        text = file.read_text()
        named |= set(re.findall(r"/static/([\w.-]+)", text))
        named |= set(re.findall(r'from "\./([\w.-]+)"', text))
    assert named == {path.name for path in FILES} - {"index.html"}


def test_the_version_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="/static/main.js"></script>')
    (tmp_path / "main.js").write_text("1")
    before = Files.read(tmp_path)
    assert before.start().decode() == f'<script src="/static/{before.version}/main.js"></script>'
    (tmp_path / "main.js").write_text("2")
    assert Files.read(tmp_path).version != before.version
