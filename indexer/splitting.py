"""Blocks as units that fit: whole where they can be, else cut where a reader would cut."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from backends.sentences import sentences
from indexer.documents import Block, BlockKind, ParsedDocument, Span
from indexer.token_counts import TokenCounter


class Unit(NamedTuple):
    """A block, or a part of one, that fits."""

    block: Block
    start: int
    end: int
    tokens: int
    """Of the text alone, without special tokens, added up over what was counted."""
    lead: int
    """Where the overlap with the part before begins; ``start`` where there is none."""
    lead_tokens: int = 0
    slack: int = 0
    """The characters that were not counted: the space between parts that were joined again.
    ``UNCERTAIN`` and more where the tokens are only a bound."""


class _Part(NamedTuple):
    block: int
    """Its index."""
    start: int
    end: int
    level: int
    """How many splitters have been tried."""
    tokens: int = 0
    slack: int = 0


Splitter = Callable[[str, int, int], list[Span]]

_CHARS_PER_TOKEN = 8
"""A text with more characters for each token allowed is cut before it is counted: words of
natural language have four or five, and a line may have millions."""
_FILL = 0.9
"""How full a part is meant to be that is cut at words: tokens are not spread evenly."""
UNCERTAIN = 1_000
"""The slack of what must be counted again as a whole: parts of one word, or one endless word."""
MAX_OVERLAP = 0.25
"""The part of the limit that an overlap may take."""


def units(
    document: ParsedDocument, limits: Sequence[int], *, wholes: Sequence[int], counter: TokenCounter
) -> list[Unit]:
    """The units of a document, in order.

    Args:
        limits: the most tokens of each block's parts, if it must be split.
        wholes: the most tokens with which each block stays whole.
    """
    parts = _fitting_parts(document, limits, wholes, counter)
    joined: list[Unit] = []
    first = 0
    for last, part in enumerate(parts):
        if last + 1 == len(parts) or parts[last + 1].block != part.block:
            block = document.blocks[part.block]
            joined += _joined(block, parts[first : last + 1], limits[part.block])
            first = last + 1
    return joined


def _fitting_parts(
    document: ParsedDocument, limits: Sequence[int], wholes: Sequence[int], counter: TokenCounter
) -> list[_Part]:
    """Rounds of counting everything new and cutting what does not fit, a batch a round."""
    text = document.text
    done: list[_Part] = []
    waiting = [_Part(i, block.start, block.end, 0) for i, block in enumerate(document.blocks)]
    while waiting:
        cut: list[_Part] = []
        short = []
        for part in waiting:
            size = part.end - part.start
            if size > _CHARS_PER_TOKEN * max(limits[part.block], wholes[part.block]):
                cut += _cut(document, part._replace(tokens=0), limits[part.block])
            else:
                short.append(part)
        counts = counter.bare([text[part.start : part.end] for part in short])
        for part, tokens in zip(short, counts, strict=True):
            counted = _counted(part, tokens)
            allowed = (limits if part.level else wholes)[part.block]
            if counted.tokens <= allowed or part.end - part.start <= 1:
                done.append(counted)
            else:
                cut += _cut(document, counted, limits[part.block])
        waiting = cut
    return sorted(done)


def _counted(part: _Part, tokens: int) -> _Part:
    """A tokenizer may see one unknown word in a megabyte of letters; a reader sees a megabyte."""
    least = (part.end - part.start) // _CHARS_PER_TOKEN
    if tokens < least:
        return part._replace(tokens=least, slack=UNCERTAIN)
    return part._replace(tokens=tokens)


def _cut(document: ParsedDocument, part: _Part, limit: int) -> Iterator[_Part]:
    splitters = _SPLITTERS[document.blocks[part.block].kind]
    spans: list[Span] = []
    level = part.level
    while len(spans) < 2 and level < len(splitters):
        spans = splitters[level](document.text, part.start, part.end)
        level += 1
    if len(spans) < 2:
        tokens = part.tokens or math.ceil((part.end - part.start) / _CHARS_PER_TOKEN)
        count = max(2, math.ceil(tokens / (_FILL * limit)))
        spans = words(document.text, part.start, part.end, count)
    return (_Part(part.block, start, end, level) for start, end in spans)


def words(text: str, start: int, end: int, count: int) -> list[Span]:
    """About ``count`` parts of equal length, cut between words where there are any."""
    spans: list[Span] = []
    while start < end:
        length = math.ceil((end - start) / max(1, count - len(spans)))
        stop = start + length
        if stop < end:
            space = max(text.rfind(" ", start, stop + 1), text.rfind("\n", start, stop + 1))
            stop = space if space > start + length // 2 else stop
        spans.append((start, stop))
        start = stop
    trimmed = (_trimmed(text, *span) for span in spans)
    return [span for span in trimmed if span[0] < span[1]]


def _sentences(text: str, start: int, end: int) -> list[Span]:
    return [(start + first, start + last) for first, last in sentences(text[start:end])]


def _lines(text: str, start: int, end: int) -> list[Span]:
    spans = []
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        if not text[start:stop].isspace() and start < stop:
            spans.append((start, stop))
        start = stop + 1
    return spans


def _paragraphs(text: str, start: int, end: int) -> list[Span]:
    """Runs of lines without a blank one between them."""
    spans: list[Span] = []
    for line in _lines(text, start, end):
        if spans and text.count("\n", spans[-1][1], line[0]) == 1:
            spans[-1] = (spans[-1][0], line[1])
        else:
            spans.append(line)
    return spans


_SPLITTERS: dict[BlockKind, tuple[Splitter, ...]] = {
    "heading": (),
    "prose": (_sentences,),
    "table": (_lines,),
    "code": (_paragraphs, _lines),
}


def _trimmed(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())


def _joined(block: Block, parts: list[_Part], limit: int) -> Iterator[Unit]:
    """Neighbouring parts of a block together again, evenly filled, with a sentence of overlap."""
    if len(parts) == 1:
        yield _unit(block, parts, None)
        return
    rest = sum(part.tokens for part in parts)
    aim = rest / math.ceil(rest / limit)
    current: list[_Part] = []
    lead: _Part | None = None
    held = 0
    for part in parts:
        is_full = held + part.tokens > limit
        if current and (is_full or (held + part.tokens / 2 > aim and rest > aim / 2)):
            yield _unit(block, current, lead)
            lead = _lead(block, current, part, limit)
            current, held = [], lead.tokens if lead else 0
        current.append(part)
        held += part.tokens
        rest -= part.tokens
    yield _unit(block, current, lead)


def _lead(block: Block, before: list[_Part], part: _Part, limit: int) -> _Part | None:
    """The sentence to repeat before a part: short, not all there was, and with room for both."""
    last = before[-1]
    room = min(MAX_OVERLAP * limit, limit - part.tokens)
    repeat = block.kind == "prose" and len(before) > 1 and last.tokens <= room
    return last if repeat else None


def _unit(block: Block, parts: list[_Part], lead: _Part | None) -> Unit:
    tokens = sum(part.tokens for part in parts)
    counted = [lead, *parts] if lead else parts
    gaps = [after.start - before.end for before, after in pairwise(counted)]
    slack = sum(gap or UNCERTAIN for gap in gaps) + sum(part.slack for part in counted)
    start, end = parts[0].start, parts[-1].end
    if lead is None:
        return Unit(block, start, end, tokens, start, slack=slack)
    return Unit(block, start, end, tokens, lead.start, lead.tokens, slack)
