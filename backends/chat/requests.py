"""Several requests to one server at once."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

# Enough to keep a server's batch full; beyond that requests only queue at the server.
MAX_CONCURRENT = 32


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one call fails the others are stopped."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
