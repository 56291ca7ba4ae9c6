"""Server-sent events, as cheap as they can be: a language model sends hundreds a second."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.errors import error_body
from api.run import Run
from errors import TandemError
from graph.step import Event

log = logging.getLogger("tandem")

HEARTBEAT_S = 15.0
"""Of silence, after which a comment keeps proxies from taking the connection for dead."""
STALLED_S = 60.0
"""In which a reader must take something, or else it is left."""
_HEARTBEAT = b": the answer is still coming\n\n"
_UNEXPECTED = "Something went wrong that should not: the service's output tells what."


class Format(Protocol):
    """How the events of a run are written down for one kind of client."""

    def events(self, events: Sequence[Event]) -> bytes:
        """Events that are sent together; may be nothing."""
        ...

    def error(self, error: TandemError) -> bytes:
        """What ends a stream whose run failed."""
        ...


class EventStream(Response):
    """Sends a run's events as they come, and always to an end: the run's last event or an error.

    What comes while the reader is busy is sent in one go; a single event never waits. For routes
    that are cancelled when the client leaves (``LeavableRoute``): the run ends with the response.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Event], form: Format) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._form = form
        self._sent_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, then close; without the end where the reader takes nothing any more."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            async with self._beating(send), contextlib.aclosing(self._frames()) as frames:
                async for frame in frames:
                    await self._send(send, frame)
        except TimeoutError:
            log.warning("%s: the client took nothing for %d s.", scope["path"], STALLED_S)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self) -> AsyncGenerator[bytes]:
        """What is to be sent; a run that fails is told of in words."""
        async with Run(self._events) as run:
            try:
                async for batch in run.batches():
                    yield self._form.events(batch)
            except TandemError as exc:
                if exc.http_status >= 500:
                    log.error("A run failed: %s", exc)  # noqa: TRY400 - no traceback
                yield self._form.error(exc)
            except Exception:
                log.exception("A run failed that should not have.")
                yield self._form.error(TandemError(_UNEXPECTED))

    async def _send(self, send: Send, frames: bytes) -> None:
        if not frames:
            return
        self._sent_at = time.monotonic()
        async with asyncio.timeout(STALLED_S):
            await send({"type": "http.response.body", "body": frames, "more_body": True})

    @contextlib.asynccontextmanager
    async def _beating(self, send: Send) -> AsyncIterator[None]:
        """Heartbeats for as long as the block runs, where nothing else is sent."""
        beating = asyncio.create_task(self._beat(send))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})

    async def _beat(self, send: Send) -> None:
        # Frames of two tasks cannot mix: each is handed over whole.
        with contextlib.suppress(TimeoutError):
            while True:
                due_s = self._sent_at + HEARTBEAT_S - time.monotonic()
                if due_s <= 0:
                    await self._send(send, _HEARTBEAT)
                await asyncio.sleep(due_s if due_s > 0 else HEARTBEAT_S)


class TypedEvents:
    """Events as they are, by name, with their data as JSON; what fails is the event ``error``."""

    def events(self, events: Sequence[Event]) -> bytes:
        """An event each."""
        return b"".join(frame(event["event"], event["data"]) for event in events)

    def error(self, error: TandemError) -> bytes:
        """Its code and its message."""
        return frame("error", error_body(error.code, str(error))["error"])


def frame(name: str, data: object) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
