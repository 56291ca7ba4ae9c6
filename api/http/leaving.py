"""Requests whose work ends when their client goes away: nobody is there to read the answer."""

import asyncio

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_AGAIN_S = 0.25
"""Between attempts to cancel: LangServe waits for its own task when it is cancelled first."""


class LeavableRoute(APIRoute):
    """A route that is cancelled, whatever it waits for, as soon as its client disconnects.

    Whoever adds it to a router has the request's dependencies, handler and response run in a task
    of their own; the work must be done within them, and not be left to another task.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request for as long as its client is there."""
        await while_there(super().handle, scope, receive, send)


async def while_there(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Have a request served until it is answered, or its client has left."""
    request = _Request(receive, send)
    serving = asyncio.ensure_future(app(scope, request.receive, request.send))
    leaving = asyncio.create_task(request.left())
    try:
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not request.answered:
            await _cancelled(serving)
        await serving
    except asyncio.CancelledError:
        if not serving.cancelled():  # it is this request that was cancelled from outside
            await _cancelled(serving)
            raise
    finally:
        leaving.cancel()


class _Request:
    """The two directions of a request, watched for the client's leaving and the answer's end."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body: asyncio.Queue[Message] = asyncio.Queue(1)
        self.answered = False

    async def left(self) -> None:
        """Returns when the client has left; until then its body is handed on."""
        while (message := await self._receive())["type"] != "http.disconnect":
            await self._body.put(message)

    async def receive(self) -> Message:
        """The next piece of the body; after the last, nothing comes."""
        return await self._body.get()

    async def send(self, message: Message) -> None:
        """Hands on what is answered."""
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True


async def _cancelled(task: "asyncio.Future[None]") -> None:
    """Return when the task has ended; it is asked to as often as that takes."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
