"""The folders that are followed, as they stand."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexer.freshness import in_iso
from indexer.news import Event
from indexer.watch import How


@dataclass(slots=True)
class Folder:
    """A followed folder."""

    root: Path
    how: How = "waiting"
    warning: str = ""
    """Why it is polled although it should not have to be; else empty."""
    problem: str = ""
    """Why it cannot be compared; else empty."""
    compared: bool = False
    """All of it has been looked at since watching began."""
    behind_since: float = field(default_factory=time.monotonic)
    """Where it was not compared or has a problem: since when."""
    followers: int = 0
    """How many want it followed."""

    def doubt(self) -> None:
        """Anything in it may have changed."""
        if self.compared:
            self.compared, self.behind_since = False, time.monotonic()

    def settle(self) -> None:
        """All of it has been compared."""
        self.compared, self.problem = True, ""

    def without_place(self, message: str) -> str:
        """A message that names the folder without telling where it lies on this machine."""
        return message.replace(str(self.root), self.root.name)

    def event(self) -> Event:
        """That it is watched, and how."""
        data = {"root": self.root.name, "how": self.how, "warning": self.warning}
        return Event("watching", data)

    def status(self, checked: float | None) -> dict[str, Any]:
        """What clients are told of it: not where it lies on this machine."""
        return {
            "root": self.root.name,
            "mode": self.how,
            "checked_at": in_iso(checked),
            "problem": self.problem,
            "warning": self.warning,
        }


def outermost(paths: Sequence[Path]) -> list[Path]:
    """The paths made absolute, links followed, without those inside of others; blocking."""
    # Path's own ways raise where links go round in circles, or nobody has the name.
    real = {Path(os.path.realpath(os.path.expanduser(path))) for path in paths}  # noqa: PTH111
    return sorted(path for path in real if real.isdisjoint(path.parents))
