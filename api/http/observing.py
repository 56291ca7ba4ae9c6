"""Every request seen from outside: its id, its line in the log, and its place in the metrics."""

import logging
import re
import secrets
import time
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.logs import ServedRequest, serving
from api.metrics import Metrics
from backends.calls import watch_calls

log = logging.getLogger("tandem.access")

REQUEST_ID = "X-Request-ID"
_TAKEN_OVER = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids that a client or a proxy may give: nothing that could forge a line of the log."""
_PROBES = frozenset(["/healthz", "/readyz", "/metrics"])
"""Asked every few seconds by programs: told of at level ``debug``, and their calls not counted."""
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_LEFT = 499
"""What proxies write for a client that went away before it was answered."""


class Observed:
    """ASGI middleware around everything else: whatever is answered passes through it.

    A request keeps the ``X-Request-ID`` it came with, where that is a plain one, or else gets one;
    the answer carries it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request = ServedRequest(given if _TAKEN_OVER.fullmatch(given) else secrets.token_hex(8))
        # Not taken back at the end: what answers an unexpected error lies outside of this.
        serving(request)
        if scope["path"] not in _PROBES:
            watch_calls(self._metrics.call)
        status = _LEFT

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request.id
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            status = 500
            raise
        finally:
            self._told(scope, request, status, time.perf_counter() - begun)

    def _told(self, scope: Scope, request: ServedRequest, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.request(method, route_of(scope), status, seconds)
        path = quote(scope["path"])  # whatever it holds, it stays one line
        log.log(
            logging.DEBUG if scope["path"] in _PROBES else logging.INFO,
            "%s %s %d in %.1f ms", method, path, status, seconds * 1000,
            extra={
                "method": method,
                "path": path,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
            },
        )  # fmt: skip


def route_of(scope: Scope) -> str:
    """The template of the route that served a request: there are only so many.

    What is mounted as a whole is named by its mount, and what no route takes by ``unmatched``.
    """
    mount: str = scope.get("root_path", "")
    template: str = getattr(scope.get("route"), "path_format", "")
    return f"{mount}{template}" or "unmatched"
