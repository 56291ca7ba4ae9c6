"""Strangers told so before anything that they send is read."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import error_answer
from errors import TandemError


class StrangersRefused:
    """ASGI middleware that answers a POST of nobody's with 401, without reading its body.

    It lets nobody in, and knows no path: who may do what is for each route's dependencies to say.
    Every route that takes a body needs a caller, and others would be read and parsed first.
    """

    def __init__(self, app: ASGIApp, known: Callable[[str], object]) -> None:
        """``known`` raises for an ``Authorization`` header that shows no caller."""
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            try:
                self._known(Headers(scope=scope).get("authorization", ""))
            except TandemError as exc:
                await error_answer(exc)(scope, receive, send)
                return
        await self._app(scope, receive, send)
