"""``/mcp``: the bridge over streamable HTTP, within the service.

What it needs is imported with the first request, since most services are never asked by an agent
and all of them should start quickly.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import error_answer
from api.security import Caller, caller_of
from api.service import Service, background
from errors import Forbidden, TandemError, UnavailableError
from mcp_bridge.service_library import ServiceLibrary

if TYPE_CHECKING:
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.mcpserver import Context
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_CALLER = "tandem.caller"
"""Where a request's scope holds who sent it."""
_MOST_SESSIONS = 256


class McpEndpoint:
    """An ASGI application: knows the caller of each request, and lets the SDK answer it.

    Sessions are kept, because a client of the protocol before 2026-07-28 cancels a call by another
    request. A session belongs to the caller who began it.
    """

    def __init__(self, service: Service, hosts: Sequence[str]) -> None:
        """``hosts`` are the names that a web page may have been loaded from to send requests."""
        self._service = service
        self._hosts = hosts
        self._turn = asyncio.Lock()
        self._answer: ASGIApp | None = None
        self._calls = 0
        self._idle = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._refuse_foreign(headers.get("origin"))
            caller = caller_of(self._service, headers.get("authorization", ""))
            answer = await self._started()
        except TandemError as exc:
            await error_answer(exc)(scope, receive, send)
            return
        with self._counted(scope["method"]):
            await answer({**scope, _CALLER: caller, "user": _owner(caller)}, receive, send)

    def _refuse_foreign(self, origin: str | None) -> None:
        """A page of anybody's may be open in the browser of somebody who may reach this service."""
        if origin is None:
            return
        host = urlsplit(origin).hostname or ""
        names = [name.strip("[]") for name in self._hosts]
        if "*" in names or host in names:
            return
        if not any(name.startswith("*.") and host.endswith(name[1:]) for name in names):
            raise Forbidden(
                f"Pages from {origin[:200]!r} may not use this service. TANDEM_ALLOWED_HOSTS lists "
                "the names that may."
            )

    @contextlib.contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """A call is waited for when the service stops; a stream that a client listens on is not."""
        is_call = method == "POST"
        self._calls += is_call
        try:
            yield
        finally:
            self._calls -= is_call
            if not self._calls:
                self._idle.set()

    async def _started(self) -> ASGIApp:
        async with self._turn:
            if self._answer is None and not self._service.stopping.is_set():
                manager = await asyncio.to_thread(_manager, self._service)
                started = asyncio.Event()
                running = background("mcp", self._run(manager, started))
                await self._service.opened.enter_async_context(running)
                await started.wait()
        if self._answer is None:
            raise UnavailableError("The service is stopping. Try again once it has started anew.")
        return self._answer

    async def _run(self, manager: "StreamableHTTPSessionManager", started: asyncio.Event) -> None:
        """Hold the sessions until the service stops: their streams have no end of their own."""
        async with manager.run():
            self._answer = manager.handle_request
            started.set()
            await self._service.stopping.wait()
            self._answer = None
            self._idle.clear()
            if self._calls:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._service.settings.drain_s):
                        await self._idle.wait()


def _manager(service: Service) -> "StreamableHTTPSessionManager":
    from mcp.server.transport_security import TransportSecuritySettings

    from mcp_bridge.bridge import create_bridge

    def library(context: "Context[Any, Any]") -> contextlib.nullcontext[ServiceLibrary]:
        request = cast(Request, context.request_context.request)
        return contextlib.nullcontext(ServiceLibrary(service, request.scope[_CALLER]))

    bridge = create_bridge(library)
    bridge.streamable_http_app(  # makes the session manager; of the application it is all we need
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_sessions=_MOST_SESSIONS,
    )
    return bridge.session_manager


def _owner(caller: Caller) -> "AuthenticatedUser":
    """The caller as the SDK compares who began a session with who uses it."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    token = AccessToken(token="", client_id=caller.name, subject=caller.tenant, scopes=[])
    return AuthenticatedUser(token)
