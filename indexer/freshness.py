"""How far the index is behind the disk, as far as the manifest can tell."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from errors import TandemError
from graph.freshness import Freshness
from indexer.manifest import Manifest


class Records(NamedTuple):
    """What the manifest knows."""

    documents: int
    checked_at: str | None
    """When the root that waits longest was last compared; None where one never was."""
    unwatched: list[str]
    """Names of roots that are not among the watched ones."""


async def look_up(manifest: Manifest, watched: Collection[Path] = ()) -> Records:
    """The figures of all roots; raises what the manifest raises."""
    checked = await manifest.checked()
    times = list(checked.values())
    complete = [when for when in times if when is not None]
    oldest = min(complete) if complete and len(complete) == len(times) else None
    unwatched = [
        Path(root).name
        for root in checked
        if not any(Path(root).is_relative_to(folder) for folder in watched)
    ]
    return Records(await manifest.indexed(), in_iso(oldest), unwatched)


async def unwatched_freshness(manifest: Manifest) -> Freshness:
    """For an index that nobody watches: changes since ``checked_at`` are not known."""
    try:
        records = await look_up(manifest)
    except TandemError as exc:  # an answer is worth more than its age
        records = Records(0, None, [])
        reason = str(exc)
    else:
        reason = ""
    return Freshness(
        state="unwatched",
        pending=0,
        behind_s=None,
        checked_at=records.checked_at,
        documents=records.documents,
        reason=reason,
    )


def in_iso(when: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
