"""One worker as its leader sees it: a process, a channel to it, and what it holds."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Self

from prometheus_client import Metric

from api.admission import Admission
from api.workers import measuring
from api.workers.channel import Channel, pair
from api.workers.turns import Turns
from errors import TandemError

_CODE = str(Path(__file__).parents[2])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from commands.worker import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)
_READY_WITHIN_S = 120.0
"""From its start until it answers; on a busy machine, models take their time to load."""
_ENDED_WITHIN_S = 10.0
"""From the last that is heard of it to the end of its process."""
_MEASURED_WITHIN_S = 2.0


class Member:
    """A worker. Made by ``start``; ``ended`` is to be awaited by whoever started it."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: Channel, admission: Admission
    ) -> None:
        self.pid = process.pid
        self.channel = channel
        self.ready = asyncio.Event()
        """It answers."""
        self.measured: list[Metric] = []
        """What it had measured when it was asked last."""
        self._process = process
        self._turns = Turns(admission)
        self.channel.handlers = {**self._turns.handlers, "ready": lambda _: self.ready.set()}

    @classmethod
    async def start(
        cls,
        listener: socket.socket,
        admission: Admission,
        welcome: dict[str, Any],
    ) -> Self:
        """A process that inherits the listening socket, and is told the rest by its channel."""
        ours, theirs = pair()
        passed = (listener.fileno(), theirs.fileno())
        try:
            # A session of its own: Ctrl-C is for the leader, which then ends its workers in order.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _START, _CODE, *map(str, passed),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=passed, start_new_session=True,
            )  # fmt: skip
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        member = cls(process, await Channel.open(ours), admission)
        member.channel.tell("welcome", welcome)
        return member

    async def ended(self) -> None:
        """Returns when the process has ended.

        One that does not become ready in time, or does not end when its channel does, is killed.
        """
        heard = asyncio.create_task(self.channel.run())
        ready = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait(
                {heard, ready}, timeout=_READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if self.ready.is_set():
                await heard
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ENDED_WITHIN_S):
                        await self._process.wait()
        finally:
            ready.cancel()
            heard.cancel()
            self._turns.release()
            self.channel.close()
            self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def killed(self) -> None:
        """Kill it, and return when it is certain that it does nothing any more."""
        self.kill()
        await self._process.wait()

    async def measurements(self) -> list[Metric]:
        """What it has measured; what it had, where it does not answer."""
        with contextlib.suppress(TandemError):
            call: Awaitable[Any] = self.channel.call("measured", within_s=_MEASURED_WITHIN_S)
            self.measured = measuring.read(await call)
        return self.measured
