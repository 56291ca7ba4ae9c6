"""Runs as a part of their caller's trace, where the caller sends one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backends.trace_context import continued


class ContinuedTraces:
    """ASGI middleware that continues the trace of a request's ``traceparent`` header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        with continued(headers):
            await self._app(scope, receive, send)
