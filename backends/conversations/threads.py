"""What every store of conversations offers, and how one is chosen.

Only the last state of a thread is of use, so those before it are pruned; and the threads that
nobody has used for longest are forgotten when there are too many. Beside the state stand the turns
as people saw them, a row each: they never go through the graph, nor to a language model.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from settings import Settings

MAX_THREADS = 1_000
"""Threads that are kept; the state of one takes some ten kilobytes, and as much each turn."""
MAX_TURNS = 20
"""Turns of a thread that are kept as they were shown."""


class Threads(Protocol):
    """Conversations. Runs of one thread take turns, whichever worker they run in."""

    @property
    def checkpointer(self) -> BaseCheckpointSaver[str]:
        """What the graph is compiled with."""
        ...

    def turn(self, thread: str) -> AbstractAsyncContextManager[None]:
        """Holds a thread for one run: runs at the same time would lose each other's turns.

        Raises:
            UnavailableError: the conversation cannot be read or written.
        """
        ...

    async def last(self, thread: str) -> dict[str, Any]:
        """The state in which its last run left a thread; empty where there was none.

        Raises:
            UnavailableError: the conversation cannot be read.
        """
        ...

    async def remember(self, thread: str, shown: str) -> None:
        """Keeps how a turn was shown, after those before it, of which the oldest may be forgotten.

        Raises:
            UnavailableError: the conversation cannot be written.
        """
        ...

    async def remembered(self, thread: str) -> list[str]:
        """What was kept of a thread's turns, the latest last.

        Raises:
            UnavailableError: the conversation cannot be read.
        """
        ...

    async def forget(self, thread: str) -> None:
        """Removes a conversation; one that does not exist is no error."""
        ...


@contextlib.asynccontextmanager
async def open_threads(settings: Settings) -> AsyncIterator[Threads]:
    """The configured conversations.

    Raises:
        UnavailableError: they cannot be opened.
        SettingsError: PostgreSQL is configured and its client is not installed.
    """
    # Imported here because each brings libraries that the other's users never need.
    if settings.threads_url is None:
        from backends.conversations.sqlite import open_sqlite_threads

        async with open_sqlite_threads(settings.data_dir) as threads:
            yield threads
        return
    from backends.conversations.postgres import open_postgres_threads

    async with open_postgres_threads(settings.threads_url.get_secret_value()) as kept:
        yield kept


async def last_values(saver: BaseCheckpointSaver[str], thread: str) -> dict[str, Any]:
    """What the last checkpoint of a thread holds, by channel."""
    checkpoint = await saver.aget({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
    return dict(checkpoint["channel_values"]) if checkpoint else {}


def plain_values() -> JsonPlusSerializer:
    """A serializer of plain values alone: nothing stored may name a class that is to be made."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
