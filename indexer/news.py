"""What happens while folders are followed, for those who look on."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

_UNREAD = 1_000
"""Events that a slow reader may fall behind before the oldest are dropped."""


class Event(NamedTuple):
    """Something that happened; the data are plain values, to be sent as JSON."""

    name: Literal["watching", "gone", "synced", "paused", "resumed"]
    data: dict[str, Any]


class News:
    """Passes each event on to everybody who reads at the time."""

    def __init__(self) -> None:
        self._readers: list[asyncio.Queue[Event]] = []

    @contextlib.contextmanager
    def reading(self) -> Iterator["asyncio.Queue[Event]"]:
        """What happens from now on; of too much, the newest."""
        reader: asyncio.Queue[Event] = asyncio.Queue(_UNREAD)
        self._readers.append(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    def tell(self, event: Event) -> None:
        """Passes an event on; nobody is waited for."""
        for reader in self._readers:
            if reader.full():
                reader.get_nowait()
            reader.put_nowait(event)
