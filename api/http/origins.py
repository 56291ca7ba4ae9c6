"""From where a request may come: the names of this service, and the pages that may use it.

A browser sends requests to the loopback for any page that asks it to: by a name that an attacker
has pointed there (DNS rebinding), or as a form of the attacker's own page. The first is told by the
``Host`` header, the second by ``Origin``.
"""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import error_body

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CHANGES_NOTHING = frozenset(["GET", "HEAD", "OPTIONS"])

_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
_PLAYGROUND = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; font-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'self'"
)
"""LangServe's pages write their settings and styles into themselves, and compile their schema."""
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
_PLAYGROUNDS = ("/rag/", "/chat/")


class KnownOrigins:
    """ASGI middleware that refuses requests by other names, and changes from others' pages.

    ``hosts`` are names without a port, ``*.example.com`` for all below, ``*`` for any. ``pages``
    are origins such as ``https://app.example.com`` besides those of the hosts: whoever can serve
    pages on this machine, at whichever port, needs no browser to reach the service.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], pages: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = [host.casefold() for host in hosts]
        self._pages = frozenset(page.casefold().rstrip("/") for page in pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            return _refuse(
                HTTPStatus.BAD_REQUEST,
                "unknown_host",
                f"This service does not go by the name {_name(host)[:100]!r}: add it to "
                "TANDEM_ALLOWED_HOSTS if it is meant to.",
            )
        origin = headers.get("origin")
        if origin is None or scope.get("method") in _CHANGES_NOTHING:
            return None
        if origin.casefold() in self._pages or self._is_ours(_name(_authority(origin))):
            return None
        return _refuse(
            HTTPStatus.FORBIDDEN,
            "unknown_origin",
            f"Pages of {origin[:100]!r} may not use this service: add the origin to "
            "TANDEM_CORS_ORIGINS if they are meant to.",
        )

    def _is_ours(self, name: str) -> bool:
        return any(
            known in ("*", name) or (known.startswith("*.") and name.endswith(known[1:]))
            for known in self._hosts
        )


class SecurityHeaders:
    """ASGI middleware: what browsers are told about every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
                headers.setdefault("Content-Security-Policy", _policy(scope["path"], headers))
            await send(message)

        await self._app(scope, receive, answer)


def _policy(path: str, headers: MutableHeaders) -> str:
    if not headers.get("content-type", "").startswith("text/html"):
        return _NO_PAGE
    return _PLAYGROUND if path.startswith(_PLAYGROUNDS) else _PAGE


def _authority(origin: str) -> str:
    """The host of an origin, with its port; empty for ``null`` and what is no origin."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The name in a ``Host`` header, without its port."""
    if host.startswith("["):
        name, bracket, _ = host.partition("]")
        return name + bracket
    return host.partition(":")[0].casefold()


def _refuse(status: HTTPStatus, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(code, message), status)
