"""How one server is asked: several requests at once, and in a form that it takes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from backends.chat.server import Refused

T = TypeVar("T")

# Enough to keep a server's batch full; beyond that requests only queue at the server.
MAX_CONCURRENT = 32

# What a server answers that does not know a field, or a value in one; 403 where it keeps one to
# itself, such as log probabilities.
_UNKNOWN_FIELD = (400, 403, 422, 501)


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one call fails the others are stopped."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


class Form:
    """Which of several forms of a request a server takes, remembered; 0 is the richest."""

    def __init__(self) -> None:
        self.number: int | None = None
        """None: not tried yet."""

    async def ask(
        self,
        call: Callable[[Mapping[str, Any]], Awaitable[T]],
        forms: Sequence[Mapping[str, Any]],
    ) -> T:
        """What comes of the richest form that the server takes; forms that it refused stay out."""
        for number in range(self.number or 0, len(forms)):
            try:
                result = await call(forms[number])
            except Refused as exc:
                if exc.status not in _UNKNOWN_FIELD or number + 1 == len(forms):
                    raise
            else:
                self.number = max(self.number or 0, number)
                return result
        raise AssertionError("there is always a form to try")
