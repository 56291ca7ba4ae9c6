"""How far the index is behind the disk, as far as the manifest can tell."""

import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from errors import TandemError
from graph.freshness import Freshness, IndexState
from indexer.manifest import Manifest


class _Records(NamedTuple):
    """What the manifest knows."""

    documents: int = 0
    checked_at: str | None = None
    """When the root that waits longest was last compared; None where one never was."""
    unwatched: tuple[str, ...] = ()
    """Names of roots that are not among the watched ones."""
    problem: str = ""
    """Why the manifest does not say: an answer is worth more than its age."""


async def followed_freshness(
    manifest: Manifest,
    folders: Mapping[Path, str],
    *,
    pending: int,
    since: float | None,
    paused: str,
) -> Freshness:
    """For an index whose folders are followed.

    Args:
        manifest: knows of the last comparisons.
        folders: the followed ones, each with what keeps it from being compared, if anything.
        pending: files known to be due.
        since: when the oldest change that is known and not in the index was noticed, on
            ``time.monotonic``.
        paused: why nothing is synced, if so.
    """
    records = await _look_up(manifest, folders)
    reasons = [reason for reason in [paused, *folders.values()] if reason]
    state: IndexState = "paused" if reasons else "current" if since is None else "catching_up"
    if records.unwatched:
        reasons.append(f"Indexed and not watched: {', '.join(records.unwatched)}.")
    if records.problem:
        reasons.append(records.problem)
    return Freshness(
        state=state,
        pending=pending,
        behind_s=0.0 if since is None else round(time.monotonic() - since, 3),
        checked_at=records.checked_at,
        documents=records.documents,
        reason=" ".join(reasons),
    )


async def unwatched_freshness(manifest: Manifest) -> Freshness:
    """For an index that nobody watches: changes since ``checked_at`` are not known."""
    records = await _look_up(manifest)
    return Freshness(
        state="unwatched",
        pending=0,
        behind_s=None,
        checked_at=records.checked_at,
        documents=records.documents,
        reason=records.problem,
    )


def in_iso(when: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")


async def _look_up(manifest: Manifest, watched: Collection[Path] = ()) -> _Records:
    try:
        checked, documents = await manifest.checked(), await manifest.indexed()
    except TandemError as exc:
        return _Records(problem=str(exc))
    times = [when for when in checked.values() if when is not None]
    oldest = min(times) if times and len(times) == len(checked) else None
    unwatched = tuple(
        Path(root).name
        for root in checked
        if not any(Path(root).is_relative_to(folder) for folder in watched)
    )
    return _Records(documents, in_iso(oldest), unwatched)
