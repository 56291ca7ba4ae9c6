"""How far the index is behind the disk, as every answer says it. Light to import."""

from collections.abc import Awaitable, Callable
from typing import Literal

from typing_extensions import TypedDict

IndexState = Literal["current", "catching_up", "paused", "unwatched"]


class Freshness(TypedDict):
    """How far the index was behind the files when the documents were searched."""

    state: IndexState
    """``paused``: something keeps the watcher from catching up. ``unwatched``: nobody watches, so
    that only ``checked_at`` tells."""
    pending: int
    """Files known to be due."""
    behind_s: float | None
    """Seconds since the oldest change that is known and not in the index; 0 where there is none,
    None where nobody knows."""
    checked_at: str | None
    """When the folder that waits longest was last compared in full, in ISO 8601; None: never."""
    documents: int
    """Files in the index."""
    reason: str
    """Why it is not current, or what is not watched; else empty."""


Freshen = Callable[[], Awaitable[Freshness]]
"""Tells how fresh the index is, now."""


def in_words(index: Freshness) -> str:
    """A line for people; empty where the index is current."""
    if index["state"] == "current":
        return ""
    if index["state"] == "unwatched":
        when = (
            f"last compared with the files at {index['checked_at']}" if index["checked_at"] else ""
        )
        return f"Index: {when or 'never compared with the files in full'}."
    behind = f"{index['behind_s'] or 0:.1f} s behind the files"
    if index["pending"]:
        behind += f", {index['pending']:,} to be indexed"
    if index["state"] == "paused":
        return f"Index: paused, {behind}. {index['reason']}"
    return f"Index: catching up, {behind}."


def without_reason(index: Freshness) -> Freshness:
    """The same for those who may not know what folders there are: the reason can name them."""
    if not index["reason"]:
        return index
    reason = "Why, GET /documents tells callers with the scope `admin`."
    return {**index, "reason": reason}


async def unknown_freshness() -> Freshness:
    """For an index of which only the vectors are at hand."""
    return Freshness(
        state="unwatched", pending=0, behind_s=None, checked_at=None, documents=0, reason=""
    )
