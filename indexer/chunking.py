"""Documents cut into the pieces that are embedded, retrieved and cited.

A chunk follows the document's structure, never exceeds what the embedding model reads, and quotes
the document exactly; what helps the model to place it, the headings above and a table's header,
goes only into the text that is embedded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.documents import ParsedDocument, TextLines
from indexer.formats.headings import Headings
from indexer.packing import Group, pack
from indexer.splitting import UNCERTAIN, Unit, units, words
from indexer.token_counts import CountTokens, TokenCounter

TARGET_TOKENS = 200
"""Up to which paragraphs are packed together, headings not counted."""
_LEAST_TOKENS = 32
"""Below that, one character might not fit."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document."""

    text: str
    """Exactly as in the document: citations quote it."""
    embedded_text: str
    """The headings above it, then its text."""
    title: str
    format: str
    """The document's, such as ``markdown``, ``pdf`` or ``docx``."""
    heading: str
    """The headings above it, joined by `` > ``."""
    page: int | None
    """Where it begins, from 1."""
    start_line: int | None
    end_line: int | None
    tokens: int
    """Of the embedded text, as the embedding model counts."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk before it is known to fit."""

    group: Group
    text: str
    embedded_text: str
    tokens: int
    """Added up; exact for a tokenizer that drops space, like BERT's."""
    slack: int
    """The characters that were not counted."""

    def is_uncertain(self, max_tokens: int) -> bool:
        """Whether it must be counted whole. A character not counted is a token at most, and a
        word may be one token more where it does not begin the text."""
        return self.tokens + 2 * self.slack > max_tokens


def chunk(
    document: ParsedDocument,
    *,
    count_tokens: CountTokens,
    max_tokens: int,
    target_tokens: int = TARGET_TOKENS,
) -> list[Chunk]:
    """The chunks of a document, in order; together they hold every character but space.

    Args:
        document: its text and blocks.
        count_tokens: of many texts at once, special tokens included.
        max_tokens: the most that a chunk's embedded text may have.
        target_tokens: up to which paragraphs of a section are packed together.

    Raises:
        ValueError: ``max_tokens`` is too small for any text.
    """
    if max_tokens < _LEAST_TOKENS:
        raise ValueError(f"max_tokens is {max_tokens}; at least {_LEAST_TOKENS} are needed")
    if not document.blocks:
        return []
    counter = TokenCounter(count_tokens)
    headings = Headings(counter, max_tokens)
    headings.learn(block.heading_path for block in document.blocks)
    wholes = _rooms(document, headings, counter)
    limits = [min(target_tokens, room) for room in wholes]
    pieces = units(document, limits, wholes=wholes, counter=counter)
    groups = pack(pieces, target=target_tokens, room=headings.room)
    return _chunks(document, _fitting(document, groups, headings, counter, max_tokens))


def _rooms(document: ParsedDocument, headings: Headings, counter: TokenCounter) -> list[int]:
    """The tokens that each block may have: those left by the headings repeated above it, by the
    headings that stand right before it and by a table's header."""
    blocks = document.blocks
    reserved = [
        index
        for index, block in enumerate(blocks)
        if block.kind in ("heading", "table") and block.end - block.start < 2000
    ]
    texts = [_first_line(document.text, blocks[i].start, blocks[i].end) for i in reserved]
    costs = dict(zip(reserved, counter.bare(texts), strict=True))
    rooms = []
    before = 0
    for index, block in enumerate(blocks):
        room = headings.room(block.heading_path)
        cost = costs.get(index, 0)
        taken = before + (cost if block.kind == "table" else 0)
        rooms.append(room - taken if taken <= room // 3 else room)
        before = before + cost if block.kind == "heading" else 0
    return rooms


def _first_line(text: str, start: int, end: int) -> str:
    stop = text.find("\n", start, end)
    return text[start : end if stop < 0 else stop]


def _fitting(
    document: ParsedDocument,
    groups: Sequence[Group],
    headings: Headings,
    counter: TokenCounter,
    max_tokens: int,
) -> list[tuple[_Draft, int]]:
    """Drafts of the groups with their token counts. Counts that were added up are now verified:
    a draft over the budget is halved until it fits."""
    headings.learn(group.path for group in groups)
    drafts = [_draft(document, group, headings) for group in groups]
    uncertain = [d.embedded_text for d in drafts if d.is_uncertain(max_tokens)]
    counts = iter(counter.full(uncertain))
    fitting: list[tuple[_Draft, int]] = []
    for draft in drafts:
        tokens = next(counts) if draft.is_uncertain(max_tokens) else draft.tokens
        if tokens <= max_tokens:
            fitting.append((draft, tokens))
        else:
            halves = _halves(document.text, draft.group)
            fitting += _fitting(document, halves, headings, counter, max_tokens)
    return fitting


def _halves(text: str, group: Group) -> list[Group]:
    if len(group.units) > 1:
        middle = len(group.units) // 2
        parts = [group.units[:middle], group.units[middle:]]
    elif group.units[0].lead < group.units[0].start:
        parts = [[group.units[0]._replace(lead=group.units[0].start, lead_tokens=0)]]
    else:
        [unit] = group.units
        parts = [
            [unit._replace(start=start, end=end, lead=start, slack=UNCERTAIN)]
            for start, end in words(text, unit.start, unit.end, 2)
        ]
    return [group._replace(units=part) for part in parts]


def _draft(document: ParsedDocument, group: Group, headings: Headings) -> _Draft:
    first = group.units[0]
    text = document.text[first.lead : group.units[-1].end]
    above = group.path
    if first.block.kind == "heading":
        above = above[: len(first.block.heading_path) - 1]
    header = _table_header(document, first)
    embedded = "\n".join(line for line in (headings.shown(above), header, text) if line)
    tokens = headings.overhead + headings.cost(above) + first.lead_tokens
    tokens += sum(unit.tokens for unit in group.units)
    gaps = (after.start - before.end for before, after in pairwise(group.units))
    slack = sum(unit.slack for unit in group.units) + sum(gap or UNCERTAIN for gap in gaps)
    slack += (UNCERTAIN if header else 0) + (1 if above else 0)
    return _Draft(group, text, embedded, tokens, slack)


def _table_header(document: ParsedDocument, unit: Unit) -> str:
    """The first row of the table whose later rows the unit holds."""
    if unit.block.kind != "table" or unit.start == unit.block.start:
        return ""
    header = _first_line(document.text, unit.block.start, unit.block.end)
    return header if len(header) < 4 * (unit.end - unit.start) else ""


def _chunks(document: ParsedDocument, drafts: Sequence[tuple[_Draft, int]]) -> list[Chunk]:
    lines = TextLines(document.text)
    return [
        Chunk(
            text=draft.text,
            embedded_text=draft.embedded_text,
            title=document.title,
            format=document.format,
            heading=" > ".join(draft.group.path),
            page=draft.group.units[0].block.page,
            start_line=_line(lines, draft.group.units[0], draft.group.units[0].lead),
            end_line=_line(lines, draft.group.units[-1], draft.group.units[-1].end),
            tokens=tokens,
        )
        for draft, tokens in drafts
    ]


def _line(lines: TextLines, unit: Unit, position: int) -> int | None:
    """The line in the file; only the block's own where the text is not the file's."""
    block = unit.block
    if block.start_line is None or block.end_line is None:
        return None
    number = lines.number(position) - lines.number(block.start)
    at_end = position == unit.end
    is_literal = lines.number(block.end) - lines.number(block.start) == (
        block.end_line - block.start_line
    )
    if is_literal:
        return block.start_line + number
    return block.end_line if at_end else block.start_line
