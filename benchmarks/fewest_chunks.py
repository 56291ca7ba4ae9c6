"""How few texts an edit could leave to embed, whatever way the new version is cut into chunks.

What was embedded before is there: the texts of the old version's chunks. A cut of the new version
covers all of it with chunks. A chunk whose embedded text, headings included, was there before
costs nothing and may stand anywhere; any other costs one embedding. It holds at most the target
size, or one whole block that the model can read with little besides, and does not run from one
section into another unless it holds both whole. The cheapest cut is found by dynamic programming
over sentences, lines and headings, which know nothing of how the product packs them.

The minimum allows for what no cut can avoid: a renamed heading is part of the embedded text of all
below it, and a chunk from which a paragraph is deleted is another text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from backends.sentences import sentences
from indexer.chunking import TARGET_TOKENS, Chunk
from indexer.documents import Block, ParsedDocument
from indexer.formats.headings import Headings
from indexer.token_counts import CountTokens, TokenCounter

BESIDE = 0.25
"""What may stand beside a block larger than the target, as a part of the target."""


class _Part(NamedTuple):
    """The least that a chunk can hold: a sentence, a line of code or of a table, a heading."""

    start: int
    end: int
    tokens: int
    block: Block


def fewest_new_texts(
    document: ParsedDocument,
    before: Sequence[Chunk],
    *,
    count_tokens: CountTokens,
    max_tokens: int,
) -> int:
    """The smallest number of texts to embed for a document, given its chunks of before."""
    counter = TokenCounter(count_tokens)
    headings = Headings(counter, max_tokens)
    headings.learn(block.heading_path for block in document.blocks)
    parts = _parts(document, _edges(document, before), counter)
    kept = _kept(document, parts, before, headings)
    ends = _section_ends(parts)
    cost = [0, *([len(parts)] * len(parts))]
    for place in range(len(parts)):
        for end in kept.get(place, ()):
            for within in range(place, end):  # a chunk may repeat what stands before it
                cost[end] = min(cost[end], cost[within])
        for end in _new(parts, place, ends, headings):
            cost[end] = min(cost[end], cost[place] + 1)
    return cost[-1]


def _edges(document: ParsedDocument, before: Sequence[Chunk]) -> list[int]:
    """Where texts of before begin and end, within sentences too long for a chunk as well."""
    found = {
        (match.start(), match.end())
        for text in {chunk.text for chunk in before}
        for match in re.finditer(re.escape(text), document.text)
    }
    return sorted({edge for span in found for edge in span})


def _parts(document: ParsedDocument, edges: Sequence[int], counter: TokenCounter) -> list[_Part]:
    spans = [
        (start, end, block)
        for block in document.blocks
        for whole in _cut(document, block)
        for start, end in _split(*whole, edges)
        if not document.text[start:end].isspace()
    ]
    tokens = counter.bare([document.text[start:end] for start, end, _ in spans])
    return [
        _Part(start, end, count, block)
        for (start, end, block), count in zip(spans, tokens, strict=True)
    ]


def _split(start: int, end: int, edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    inside = edges[bisect_right(edges, start) : bisect_left(edges, end)]
    yield from pairwise([start, *inside, end])


def _cut(document: ParsedDocument, block: Block) -> Iterator[tuple[int, int]]:
    text = document.text[block.start : block.end]
    if block.kind == "heading":
        yield block.start, block.end
    elif block.kind == "prose":
        yield from ((block.start + start, block.start + end) for start, end in sentences(text))
    else:
        position = block.start
        for line in text.split("\n"):
            if line.strip():
                yield position, position + len(line)
            position += len(line) + 1


def _kept(
    document: ParsedDocument, parts: Sequence[_Part], before: Sequence[Chunk], headings: Headings
) -> dict[int, list[int]]:
    """Where texts of before stand again with the same embedded text: first part to end part."""
    kept: dict[int, list[int]] = {}
    for chunk in {chunk.embedded_text: chunk for chunk in before}.values():
        start = document.text.find(chunk.text)
        while start >= 0:
            end = start + len(chunk.text)
            inside = [n for n, part in enumerate(parts) if start <= part.start and part.end <= end]
            if inside and chunk.embedded_text in _embedded(
                document, parts, inside, start, end, headings
            ):
                kept.setdefault(inside[0], []).append(inside[-1] + 1)
            start = document.text.find(chunk.text, start + 1)
    return kept


def _embedded(
    document: ParsedDocument,
    parts: Sequence[_Part],
    inside: Sequence[int],
    start: int,
    end: int,
    headings: Headings,
) -> set[str]:
    """What would be embedded of a piece of the document, without and with a table's header."""
    first = parts[inside[0]].block
    paths = [parts[n].block.heading_path for n in inside if parts[n].block.kind != "heading"]
    above = _shared(paths or [parts[n].block.heading_path for n in inside])
    if first.kind == "heading":
        above = above[: len(first.heading_path) - 1]
    header = ""
    if first.kind == "table" and start != first.start:
        header = document.text[first.start : first.end].partition("\n")[0]
    text = document.text[start:end]
    return {
        "\n".join(line for line in (headings.shown(above), repeated, text) if line)
        for repeated in ("", header)
    }


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    lowest, highest = min(paths), max(paths)
    depth = 0
    while depth < min(len(lowest), len(highest)) and lowest[depth] == highest[depth]:
        depth += 1
    return lowest[:depth]


def _section_ends(parts: Sequence[_Part]) -> dict[int, int]:
    """For each part that begins a section the end of that section, or of the first one below it
    that holds more than headings."""
    ends: dict[int, int] = {}
    bare: list[int] = []
    place = 0
    for _, section in groupby(parts, key=lambda part: part.block.heading_path):
        run = list(section)
        bare.append(place)
        place += len(run)
        ends.update(dict.fromkeys(bare, place))
        if any(part.block.kind != "heading" for part in run):
            bare = []
    return ends


def _new(
    parts: Sequence[_Part], place: int, ends: dict[int, int], headings: Headings
) -> Iterator[int]:
    """Where a new chunk that begins with a part may end."""
    section_end = next(end for start, end in reversed(ends.items()) if start <= place)
    room = headings.room(parts[place].block.heading_path)
    tokens = 0
    of_block: dict[Block, int] = {}
    for end in range(place + 1, len(parts) + 1):
        part = parts[end - 1]
        tokens += part.tokens
        of_block[part.block] = of_block.get(part.block, 0) + part.tokens
        if tokens > room and end > place + 1:
            return
        fits = tokens <= TARGET_TOKENS or tokens - max(of_block.values()) < BESIDE * TARGET_TOKENS
        crosses = end > section_end and not (place in ends and end in ends.values())
        if (fits or end == place + 1) and not crosses:
            yield end
