"""Edits of Markdown files as people make them, the same ones for the same seed."""

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from backends.sentences import sentences
from indexer.documents import Block
from indexer.formats.markdown import parse_markdown

VOCABULARY = (
    "the controller keeps a pod waiting until its volume is attached and reports an event when "
    "that takes longer than expected so operators can see which node was slow and why it happened"
)


class _Text(NamedTuple):
    """A document and a source of chance."""

    text: str
    blocks: list[Block]
    chance: random.Random

    def pick(self, *kinds: str, least: int = 1) -> Block | None:
        """A block of one of these kinds with that many characters."""
        fitting = [b for b in self.blocks if b.kind in kinds and b.end - b.start >= least]
        return self.chance.choice(fitting) if fitting else None

    def replaced(self, start: int, end: int, new: str) -> str:
        return self.text[:start] + new + self.text[end:]

    def sentence(self) -> str:
        words = self.chance.choices(VOCABULARY.split(), k=self.chance.randrange(8, 22))
        return f"{' '.join(words).capitalize()} {self.chance.randrange(10**6)}."

    def paragraph(self) -> str:
        return " ".join(self.sentence() for _ in range(self.chance.randrange(2, 6)))


def _within(document: _Text, change: Callable[[_Text, int, int], str]) -> str | None:
    """A change of one sentence of one paragraph."""
    block = document.pick("prose", least=40)
    if block is None:
        return None
    spans = sentences(document.text[block.start : block.end])
    start, end = document.chance.choice(spans)
    return change(document, block.start + start, block.start + end)


def insert_sentence(document: _Text) -> str | None:
    return _within(document, lambda d, _, end: d.replaced(end, end, f" {d.sentence()}"))


def delete_sentence(document: _Text) -> str | None:
    return _within(document, lambda d, start, end: d.replaced(start, end, ""))


def replace_sentence(document: _Text) -> str | None:
    return _within(document, lambda d, start, end: d.replaced(start, end, d.sentence()))


def insert_paragraph(document: _Text) -> str | None:
    block = document.pick("prose", "code", "table", "heading")
    if block is None:
        return None
    return document.replaced(block.end, block.end, f"\n\n{document.paragraph()}\n")


def delete_paragraph(document: _Text) -> str | None:
    block = document.pick("prose", least=40)
    return document.replaced(block.start, block.end, "") if block else None


def replace_paragraph(document: _Text) -> str | None:
    block = document.pick("prose", least=40)
    return document.replaced(block.start, block.end, document.paragraph()) if block else None


def add_heading(document: _Text) -> str | None:
    """A new section of one paragraph before another block."""
    block = document.pick("prose", "heading")
    if block is None:
        return None
    depth = max(2, len(block.heading_path))
    title = f"{'#' * min(depth, 6)} Notes {document.chance.randrange(10**6)}"
    return document.replaced(block.start, block.start, f"{title}\n\n{document.paragraph()}\n\n")


def rename_heading(document: _Text) -> str | None:
    block = document.pick("heading")
    if block is None:
        return None
    line_end = document.text.find("\n", block.start, block.end)
    end = block.end if line_end < 0 else line_end
    return document.replaced(end, end, f" {document.chance.randrange(10**6)}")


def append_paragraph(document: _Text) -> str | None:
    return f"{document.text.rstrip()}\n\n{document.paragraph()}\n"


def move_section(document: _Text) -> str | None:
    """A section with all below it trades places with the sibling after it."""
    heads = [b for b in document.blocks if b.kind == "heading" and len(b.heading_path) > 1]
    siblings = []
    for place, head in enumerate(heads):
        depth = len(head.heading_path)
        later = [b for b in heads[place + 1 :] if len(b.heading_path) <= depth]
        if later and later[0].heading_path[:-1] == head.heading_path[:-1]:
            end = later[1].start if len(later) > 1 else len(document.text)
            siblings.append((head.start, later[0].start, end))
    if not siblings:
        return None
    start, middle, end = document.chance.choice(siblings)
    first, second = document.text[start:middle], document.text[middle:end]
    return document.replaced(start, end, f"{second.rstrip()}\n\n{first.rstrip()}\n\n")


def edit_table_row(document: _Text) -> str | None:
    block = document.pick("table")
    if block is None:
        return None
    rows = list(re.finditer(r"[^\n]+", document.text[block.start : block.end]))[2:]
    if not rows:
        return None
    cell = block.start + document.chance.choice(rows).end() - 1
    return document.replaced(cell, cell, f" {document.chance.randrange(10**6)} ")


def edit_code_line(document: _Text) -> str | None:
    block = document.pick("code")
    if block is None:
        return None
    lines = list(re.finditer(r"[^\n]+", document.text[block.start : block.end]))[1:-1]
    if not lines:
        return None
    end = block.start + document.chance.choice(lines).end()
    return document.replaced(end, end, f" {document.chance.randrange(10**6)}")


EDITS: tuple[Callable[[_Text], str | None], ...] = (
    insert_sentence,
    delete_sentence,
    replace_sentence,
    insert_paragraph,
    delete_paragraph,
    replace_paragraph,
    add_heading,
    rename_heading,
    append_paragraph,
    move_section,
    edit_table_row,
    edit_code_line,
)


def edited(text: str, edit: Callable[[_Text], str | None], chance: random.Random) -> str | None:
    """The text after an edit; None where there is nothing in it to edit so."""
    blocks = parse_markdown(text, name="").blocks
    new = edit(_Text(text, blocks, chance))
    return None if new == text else new
