"""Units packed into groups that make good chunks: whole sections, or paragraphs in a row."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from indexer.splitting import Unit

Path = tuple[str, ...]

_TINY = 0.25
"""The part of the target below which a group is too little to stand alone."""


class Group(NamedTuple):
    """Neighbouring units that become one chunk."""

    units: list[Unit]
    tokens: int
    shallowest: int
    """The least depth among the headings of the sections in it."""
    is_whole: bool = False
    """Whether it holds all of its sections."""

    @property
    def path(self) -> Path:
        """The headings that hold for all of its text."""
        bodies = [unit.block.heading_path for unit in self.units if not _is_heading(unit)]
        return common(bodies or [unit.block.heading_path for unit in self.units])


def pack(units: Sequence[Unit], *, target: int, room: Callable[[Path], int]) -> list[Group]:
    """Groups of units in order, no section sharing one with another unless it is tiny.

    Which units go together depends on their neighbours only, so that an edit moves few borders.

    Args:
        target: the tokens up to which units are packed.
        room: the most tokens below a heading path.
    """
    groups: list[Group] = []
    for path, section in _sections(units):
        limit = room(path)
        for group in _packed(section, len(path), min(target, limit), limit):
            if groups and _belong_together(groups[-1], group, target):
                groups[-1] = _merged(groups[-1], group)
            else:
                groups.append(group)
    return groups


def common(paths: Sequence[Path]) -> Path:
    """The beginning that all paths share."""
    lowest, highest = min(paths), max(paths)
    for depth, (one, other) in enumerate(zip(lowest, highest, strict=False)):
        if one != other:
            return lowest[:depth]
    return lowest


def _sections(units: Sequence[Unit]) -> Iterator[tuple[Path, list[Unit]]]:
    """Runs of units under one heading; a heading with nothing below it joins its first part."""
    waiting: list[Unit] = []
    for path, run in groupby(units, key=lambda unit: unit.block.heading_path):
        section = list(run)
        if waiting and path[: len(waiting[-1].block.heading_path)] != (
            waiting[-1].block.heading_path
        ):
            yield waiting[-1].block.heading_path, waiting
            waiting = []
        section = waiting + section
        if all(_is_heading(unit) for unit in section):
            waiting = section
        else:
            yield path, section
            waiting = []
    if waiting:
        yield waiting[-1].block.heading_path, waiting


def _packed(section: Sequence[Unit], depth: int, target: int, limit: int) -> list[Group]:
    groups: list[Group] = []
    current: list[Unit] = []
    held = 0
    for unit in section:
        # Too little to stand alone, such as a heading or "For example:".
        most = limit if held < _TINY * target else target
        if current and held + unit.tokens > most:
            groups.append(Group(current, held, depth))
            current, held = [], unit.lead_tokens
        current.append(unit)
        held += unit.tokens
    groups.append(Group(current, held, depth))
    if len(groups) > 1:
        before, last = groups[-2:]
        if last.tokens < _TINY * target and before.tokens + last.tokens <= limit:
            groups[-2:] = [_merged(before, last)]
    return groups if len(groups) > 1 else [groups[0]._replace(is_whole=True)]


def _belong_together(group: Group, following: Group, target: int) -> bool:
    """Whether one of two sections is tiny, both fit, and they are siblings or parent and child."""
    if not (group.is_whole and following.is_whole):
        return False
    if group.tokens + following.tokens > target:
        return False
    if min(group.tokens, following.tokens) >= _TINY * target:
        return False
    shared = common([unit.block.heading_path for unit in (*group.units, *following.units)])
    return len(shared) >= min(group.shallowest, following.shallowest) - 1


def _merged(group: Group, following: Group) -> Group:
    return Group(
        group.units + following.units,
        group.tokens + following.tokens,
        min(group.shallowest, following.shallowest),
        group.is_whole and following.is_whole,
    )


def _is_heading(unit: Unit) -> bool:
    return unit.block.kind == "heading"
