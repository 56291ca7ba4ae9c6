"""A prompt taken apart as its system message explains it: blocks, and what stands outside them."""

import re
from typing import NamedTuple

_OPENING = re.compile(r"<(document|question|statement|searches) ([0-9a-f]{12})>")


class Block(NamedTuple):
    """Quoted material."""

    kind: str
    mark: str
    text: str


def parsed(prompt: str) -> tuple[list[Block], str]:
    """The blocks of a user message in order, and the lines outside them.

    A block begins on a line with a tag and a mark, and ends on the first line that closes that tag
    with that mark, whatever stands between.

    Raises:
        ValueError: a block does not end.
    """
    blocks: list[Block] = []
    outside: list[str] = []
    lines = iter(prompt.split("\n"))
    for line in lines:
        opened = _OPENING.fullmatch(line)
        if opened is None:
            outside.append(line)
            continue
        kind, mark = opened.groups()
        body: list[str] = []
        for inner in lines:
            if inner == f"</{kind} {mark}>":
                break
            body.append(inner)
        else:
            raise ValueError(f"a {kind} without an end")
        blocks.append(Block(kind, mark, "\n".join(body)))
    return blocks, "\n".join(outside)
