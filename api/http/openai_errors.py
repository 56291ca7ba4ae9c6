"""Errors below ``/v1`` as clients of OpenAI's API read them."""

import contextlib
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import UsageError

PREFIX = "/v1"
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class UnknownModel(UsageError):
    """A model was asked for that is not on offer."""

    code = "model_not_found"
    http_status = 404


def openai_error(error: dict[str, Any], status: int) -> dict[str, Any]:
    """An error of ours with what OpenAI's have besides: a type, and the parameter at fault."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {**error, "type": _TYPES.get(status, kind), "param": None}}


class OpenAIErrors:
    """ASGI middleware that gives every error below ``/v1`` OpenAI's shape, wherever it is made.

    What does not fit the schema is answered there with 400, not with 422.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/"):
            send = _Reshaping(send).send
        await self._app(scope, receive, send)


class _Reshaping:
    """Holds an error back until its body is there; everything else passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_error(self._start)

    async def _send_error(self, start: Message) -> None:
        status = 400 if start["status"] == 422 else start["status"]
        body = self._body
        with contextlib.suppress(ValueError, TypeError, KeyError):  # plain text: a forged host's
            body = json.dumps(openai_error(json.loads(body)["error"], status)).encode()
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
