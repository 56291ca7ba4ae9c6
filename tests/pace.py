"""How long something took, apart from the time in which the machine let nothing run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_TICK_S = 0.01


class Pace:
    """A clock that goes only while the event loop gets to run."""

    seconds = 0.0

    async def go(self) -> None:
        """Counts a tick for each that the loop comes to, however late it comes."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.seconds += _TICK_S


@contextlib.asynccontextmanager
async def paced() -> AsyncIterator[Pace]:
    """What is awaited in the block, timed: a busy machine's pauses do not count."""
    pace = Pace()
    going = asyncio.create_task(pace.go())
    try:
        yield pace
    finally:
        going.cancel()
