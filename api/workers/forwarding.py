"""Requests that a worker hands on to its leader as they are: those about the index.

They are handed on before anything else looks at them. Who sent them, from which page, and what
they hold is judged where they are served; there, too, they are counted and told of.
"""

import contextlib
import logging
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import error_answer
from api.http.leaving import while_there
from errors import PathError, UnavailableError, UsageError

log = logging.getLogger("tandem")

LEADERS = ("/documents", "/reindex", "/readyz", "/metrics", "/mcp", "/openapi.json")
"""Paths that the leader serves, with all below them. ``/mcp`` because its sessions live in one
process, and its tools tell how the index does."""
_OF_A_CONNECTION = frozenset(
    [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
     b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"]
)  # fmt: skip
"""Headers that are about one connection, and not about a request (RFC 9110, section 7.6.1)."""
_NOT_ASKED = _OF_A_CONNECTION | {b"expect"}
_NOT_ANSWERED = _OF_A_CONNECTION | {b"date"}
_TIMEOUTS = {"connect": 5.0, "pool": 5.0, "write": 60.0, "read": None}
"""Of silence in an answer there may be as much as in one that is not handed on."""
_MOST_CONNECTIONS = 1_000
_IDLE_S = 2.0
"""For a connection to be used again: the leader closes it after 5 s, perhaps as it is used."""
_LONGEST_PATH = 100
"""Bytes of a socket's path: some systems take no more than 103."""


class Forwarding:
    """ASGI middleware: what the leader serves is asked of it, over a socket of this machine."""

    def __init__(self, app: ASGIApp, leader: str) -> None:
        """``leader`` is the path of the socket."""
        self._app = app
        limits = httpx.Limits(
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=16,
            keepalive_expiry=_IDLE_S,
        )
        self._leader = httpx.AsyncHTTPTransport(uds=leader, limits=limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_leaders(scope["path"]):
            await while_there(self._forward, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def aclose(self) -> None:
        """Ends the connections to the leader."""
        await self._leader.aclose()

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._leader.handle_async_request(_request(scope, receive))
        except httpx.LocalProtocolError as exc:
            error = UsageError(f"The request cannot be handed on within this service: {exc}.")
            await error_answer(error)(scope, receive, send)
            return
        except httpx.HTTPError as exc:
            log.error("%s: the leading process does not answer: %r", scope["path"], exc)  # noqa: TRY400 - no traceback
            away = UnavailableError("What keeps the index does not answer. Try again soon.")
            await error_answer(away)(scope, receive, send)
            return
        try:
            headers = [h for h in answer.headers.raw if h[0].lower() not in _NOT_ANSWERED]
            status = answer.status_code
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            await answer.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def is_leaders(path: str) -> bool:
    """Whether a path is served by the leader alone."""
    return any(path == each or path.startswith(f"{each}/") for each in LEADERS)


def _request(scope: Scope, receive: Receive) -> httpx.Request:
    names = {name for name, _ in scope["headers"]}
    has_body = b"transfer-encoding" in names or b"content-length" in names
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return httpx.Request(
        scope["method"],
        "http://leader",
        headers=[header for header in scope["headers"] if header[0] not in _NOT_ASKED],
        content=_body(receive) if has_body else None,
        extensions={"timeout": _TIMEOUTS, "target": target},  # as it came: never written anew
    )


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


@contextlib.contextmanager
def private_socket() -> Iterator[socket.socket]:
    """Where a leader listens for its workers: reached by this machine's user alone.

    Raises:
        PathError: there is no folder for it.
    """
    for parent in (None, "/tmp"):  # noqa: S108 - a folder of our own in it, which only we can read
        folder = tempfile.mkdtemp(prefix="tandem-", dir=parent)
        path = Path(folder, "leader")
        if len(str(path).encode()) <= _LONGEST_PATH:
            break
        shutil.rmtree(folder)
    else:
        raise PathError("The folder for temporary files has too long a name: set TMPDIR.")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
        yield listener
