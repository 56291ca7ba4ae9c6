"""How the service is served, and how it stops: runs end first, then connections."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from api.answering import Answering
from api.http.connection import bounded_protocol

BACKLOG = 2048
"""Connections that may wait to be accepted."""
_SHUTDOWN_S = 2
"""For what is still open when every run has ended: answers on their way, and other streams."""


class Followers(Protocol):
    """Processes that stop with this one, before its connections are closed."""

    def drain(self, within_s: float) -> None: ...
    async def aclose(self) -> None: ...
    def kill(self) -> None: ...


class Server(uvicorn.Server):
    """uvicorn with the signals left to its caller, whose clean-up must not be interrupted.

    uvicorn would raise a captured signal again once it has stopped, before Phoenix is stopped and
    the store closed.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Answering,
        followers: Followers | None = None,
        *,
        backlog: int = BACKLOG,
    ) -> None:
        """``backlog`` is also how many connections asyncio accepts at once."""
        super().__init__(
            uvicorn.Config(
                app,
                backlog=backlog,
                http=bounded_protocol(),
                log_config=None,  # its messages are written as ours are
                access_log=False,  # ours says more, and no query strings
                timeout_graceful_shutdown=_SHUTDOWN_S,
                server_header=False,
            )
        )
        self.on_start: Callable[[], None] = lambda: None
        """Called when it takes connections."""
        self._service = service
        self._followers = followers
        self._ending: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections from now on."""
        await super().startup(sockets)
        self.on_start()

    def drain(self, within_s: float) -> None:
        """Begin no run, and let those end that have begun; whoever asks is told so."""
        self._service.stopping.set()
        self._service.admission.drain(within_s)

    def stop(self) -> None:
        """Drain, and go; a second time: go at once."""
        if self._ending is None:
            self.drain(self._service.settings.drain_s)
            if self._followers is not None:
                self._followers.drain(self._service.settings.drain_s)
            self._ending = asyncio.create_task(self._end())
        else:
            self._service.admission.drain(0)
            if self._followers is not None:
                self._followers.kill()
            self.should_exit = self.force_exit = True

    def give_up(self) -> None:
        """Take no connections any more, and end when those there are have been answered."""
        self.should_exit = True

    async def _end(self) -> None:
        """Until the last run has ended, whoever asks is told that the service is stopping."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._service.settings.drain_s + _SHUTDOWN_S):
                await self._service.admission.drained()
        if self._followers is not None:
            await self._followers.aclose()
        self.should_exit = True
