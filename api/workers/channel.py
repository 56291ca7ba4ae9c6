"""Messages between two of our processes: JSON, a line each, over a pair of sockets.

Either side calls the other by name. Messages are handled in the order in which they were sent:
what a handler does before it returns is done before the next message is looked at. One that
returns something to wait for is answered once that is done, and holds nobody up.
"""

import asyncio
import inspect
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

from errors import Stopping, TandemError, TooBusy, TooManyRequests, UnavailableError

log = logging.getLogger("tandem")

Handler = Callable[[Any], Any]
"""Takes what was sent; returns what is sent back, or an awaitable of it."""

MAX_LINE_BYTES = 1 << 28
"""Some millions of ids."""
_MOST_UNSENT_BYTES = 2 * MAX_LINE_BYTES
_GONE = "The other process has ended."


class Channel:
    """One end. ``run`` handles what arrives until the other end is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers: dict[str, Handler] = {}
        """What the other side may call. To be filled before that side can know of it."""
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._called = 0
        self._at_work: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """The channel over one of two connected sockets, which it closes."""
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES))

    def tell(self, name: str, value: object = None) -> None:
        """Send what needs no answer; lost where the other side is gone."""
        self._send({"call": name, "with": value})

    def call(
        self, name: str, value: object = None, *, within_s: float | None = None
    ) -> asyncio.Future[Any]:
        """Send at once; what is returned becomes the answer.

        Raises:
            TandemError: when awaited: the other side says so, has ended, or does not answer in
                time.
        """
        self._called += 1
        number, loop = self._called, asyncio.get_running_loop()
        answer = self._calls[number] = loop.create_future()
        answer.add_done_callback(lambda _: self._calls.pop(number))
        if within_s is not None:
            timer = loop.call_later(within_s, _give_up, answer, name, within_s)
            answer.add_done_callback(lambda _: timer.cancel())
        if self._writer.is_closing():
            answer.set_exception(UnavailableError(_GONE))
        else:
            self._send({"id": number, "call": name, "with": value})
        return answer

    async def run(self) -> None:
        """Handle messages until either side closes; then every call that waits fails."""
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass  # the other side was killed
        except Exception:  # after which the two would not agree on what is so
            log.exception("A message between processes could not be handled.")
        finally:
            self.close()
            for task in self._at_work:
                task.cancel()
            for answer in list(self._calls.values()):
                if not answer.done():
                    answer.set_exception(UnavailableError(_GONE))

    def close(self) -> None:
        """Both sides learn of it."""
        self._writer.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(json.dumps(message).encode() + b"\n")
        if self._writer.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            log.error("A process takes no messages any more: it is given up.")
            self._writer.transport.abort()

    def _take(self, message: dict[str, Any]) -> None:
        if "call" not in message:
            answer = self._calls.get(message["id"])
            if answer is not None and not answer.done():
                if "error" in message:
                    answer.set_exception(_read_error(message["error"]))
                else:
                    answer.set_result(message["answer"])
            return
        number: int | None = message.get("id")
        try:
            result = self.handlers[message["call"]](message["with"])
        except TandemError as exc:
            self._fail(number, exc)
        else:
            if inspect.isawaitable(result):
                task = asyncio.create_task(self._wait_for(number, result))
                self._at_work.add(task)
                task.add_done_callback(self._at_work.discard)
            else:
                self._reply(number, result)

    async def _wait_for(self, number: int | None, result: Awaitable[Any]) -> None:
        try:
            self._reply(number, await result)
        except TandemError as exc:
            self._fail(number, exc)
        except Exception as exc:
            log.exception("What another process has called for failed.")
            self._fail(number, UnavailableError(f"{type(exc).__name__} in the other process."))

    def _reply(self, number: int | None, result: object) -> None:
        if number is not None:
            self._send({"id": number, "answer": result})

    def _fail(self, number: int | None, error: TandemError) -> None:
        if number is not None:
            self._send({"id": number, "error": _written_error(error)})


def _give_up(answer: asyncio.Future[Any], name: str, within_s: float) -> None:
    if not answer.done():
        message = f"The other process did not answer {name!r} within {within_s:g} s."
        answer.set_exception(UnavailableError(message))


def _written_error(error: TandemError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": str(error),
        "retry_after_s": getattr(error, "retry_after_s", None),
    }


def _read_error(written: dict[str, Any]) -> TandemError:
    """The error as it was raised, as far as what is called for raises it."""
    message = written["message"]
    for kind in (TooBusy, TooManyRequests):
        if written["code"] == kind.code:
            return kind(message, retry_after_s=written["retry_after_s"])
    return Stopping(message) if written["code"] == Stopping.code else UnavailableError(message)


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a channel, which no other process can reach."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends
