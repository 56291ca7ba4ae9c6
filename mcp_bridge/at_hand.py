"""The Tandem of this machine, found anew for each call: the running server, or else the store.

An embedded store has one owner at a time, and editors keep a bridge running all day. So the store
is opened when a call needs it and closed soon after the last one: in between, ``tandem serve``,
``tandem index`` and other bridges can have it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from errors import StoreLocked
from mcp_bridge.interface import Library
from settings import Settings

if TYPE_CHECKING:
    from api.service import Service
    from backends.running_server import RunningServer

    OpenService = Callable[[Settings], AbstractAsyncContextManager[Service]]

_IDLE_S = 5.0
"""After so long without a call the store is given back."""
_PATIENCE_S = 10.0
"""So long another process may have the store before a call gives up."""
_AGAIN_S = 0.2


class AtHand:
    """Lends the library of this machine. Whoever makes it closes it."""

    def __init__(
        self, settings: Settings, *, idle_s: float = _IDLE_S, patience_s: float = _PATIENCE_S
    ) -> None:
        self._settings = settings
        self._idle_s = idle_s
        self._patience_s = patience_s
        self._turn = asyncio.Lock()
        """Held while the store is opened or closed."""
        self._opened = contextlib.AsyncExitStack()
        self._service: Service | None = None
        self._borrowers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[None] | None = None

    async def get_ready(self) -> None:
        """Import what the first call will need, while the client makes up its mind."""
        if await asyncio.to_thread(self._server) is None:
            await asyncio.to_thread(_import)

    @contextlib.asynccontextmanager
    async def lent(self, _: object = None) -> AsyncIterator[Library]:
        """The library, for a block.

        Raises:
            StoreLocked: another process has the store, and no server runs that could be asked.
            TandemError: the store cannot be opened.
        """
        until = time.monotonic() + self._patience_s
        while True:
            if (server := await asyncio.to_thread(self._server)) is not None:
                yield server
                return
            try:
                service = await self._borrow()
                break
            except StoreLocked:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_AGAIN_S)
        try:
            from api.security import local_caller
            from mcp_bridge.service_library import ServiceLibrary

            yield ServiceLibrary(service, local_caller(service))
        finally:
            self._give_back()

    async def aclose(self) -> None:
        """Give the store back now. No library may be lent."""
        self._cancel_timer()
        await self._close()

    def _server(self) -> "RunningServer | None":
        if not (self._settings.data_dir / "server.json").exists():
            return None
        from backends.running_server import find_server

        return find_server(self._settings.data_dir)

    async def _borrow(self) -> "Service":
        self._cancel_timer()
        async with self._turn:
            if self._service is None:
                self._service = await self._open()
            self._borrowers += 1
            return self._service

    async def _open(self) -> "Service":
        open_service = await asyncio.to_thread(_import)
        from backends.tracing import listens, start_tracing

        async with contextlib.AsyncExitStack() as stack:
            service = await stack.enter_async_context(open_service(self._settings))
            phoenix = self._settings.phoenix
            if await asyncio.to_thread(listens, phoenix.endpoint):
                stack.push_async_callback(start_tracing(phoenix).aclose)
            self._opened = stack.pop_all()
            return service

    def _give_back(self) -> None:
        self._borrowers -= 1
        if not self._borrowers:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._rest)

    def _rest(self) -> None:
        self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        async with self._turn:
            if self._service is not None and not self._borrowers:
                self._service = None
                await self._opened.aclose()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _import() -> "OpenService":
    """The heavy modules, which answering ``initialize`` does not wait for."""
    import mcp_bridge.service_library  # noqa: F401 - what a call needs
    from api.service import open_service

    return open_service
