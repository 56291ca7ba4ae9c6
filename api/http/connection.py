"""Connections before a request is known: bounded in size and time, whoever opens them.

uvicorn's faster parser keeps headers without end: 60 MB of small ones took 580 MB of memory, from
anybody who can connect.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Literal

MAX_HEAD_BYTES = 64_000
"""Of a request's line and headers; as many as uvicorn's other parser takes."""
HEAD_WITHIN_S = 30.0
"""How long they may take to arrive."""


def bounded_protocol(within_s: float = HEAD_WITHIN_S) -> type[asyncio.Protocol] | Literal["h11"]:
    """What uvicorn is to speak HTTP with: ``h11``, which has a bound, if that is all there is."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"

    class BoundedHeads(HttpToolsProtocol):
        """Ends a connection whose request never begins, or begins and never comes to its body."""

        _in_head = True
        _head_bytes = 0
        _limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._limit = self.loop.call_later(within_s, self._too_late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._in_head = True
            if self._limit is None:  # not the first request of this connection
                self._limit = self.loop.call_later(within_s, self._too_late)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._in_time()
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Counted here, not by the header: the parser also keeps one that has not ended yet.
            self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

        def _too_late(self) -> None:
            self._limit = None
            if self._head_bytes == 0:  # as browsers open some, to have them at hand
                self.transport.close()
            else:
                self._end(HTTPStatus.REQUEST_TIMEOUT)

        def _in_time(self) -> None:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None

        def _end(self, status: HTTPStatus) -> None:
            if self.transport.is_closing():
                return
            if self.cycle is not None and not self.cycle.response_complete:
                self.transport.close()  # in the middle of another answer
                return
            code = status.name.lower()
            body = f'{{"error": {{"code": "{code}", "message": "{status.description}."}}}}'
            self.transport.write(
                f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
            self.transport.close()

    return BoundedHeads
