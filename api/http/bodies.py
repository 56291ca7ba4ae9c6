"""Request bodies, looked at before any route: whatever is not small, valid JSON is refused."""

import json
import re
from http import HTTPStatus
from typing import NoReturn

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import error_body

MAX_BODY_BYTES = 4_000_000
"""Far above a question with its options or a batch of them; files are sent as multipart."""

_MOST_DIGITS = 21
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


_AROUND_A_FILE = 100_000
"""Bytes of a form beside the file in it."""
_FILE_TOO_LARGE = "The file has more bytes than TANDEM_MAX_FILE_BYTES allows: split it."


class Body(BaseModel):
    """What a client sends. Keys that are not known are refused.

    Its validators are built at once: left for the first request, as others are for the sake of a
    fast start, FastAPI's own use of it would complain into the service's output.
    """

    model_config = ConfigDict(extra="forbid", defer_build=False)


class CheckedBodies:
    """ASGI middleware that answers a body that cannot be used with 400, 413 or 415.

    LangServe reads bodies by itself and answers what it cannot read with 500. And a web page of
    anybody's can have a browser send a form here, but not JSON. A form may hold a file of
    ``max_file_bytes``; it is counted while it arrives.
    """

    def __init__(self, app: ASGIApp, max_file_bytes: int) -> None:
        self._app = app
        self._max_form_bytes = max_file_bytes + _AROUND_A_FILE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if _is_multipart(scope):
            await self._form(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # the client has gone away
        refusal = _refusal(scope, body)
        if refusal is None:
            await self._app(scope, _replay(body, receive), send)
        else:
            await refusal(scope, receive, send)

    async def _form(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_form_bytes:
            refusal = _refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", _FILE_TOO_LARGE
            )
            await refusal(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_form_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _FILE_TOO_LARGE)
            return message

        await self._app(scope, counted, send)


def _is_multipart(scope: Scope) -> bool:
    return _content_type(scope) == "multipart/form-data"


def _content_type(scope: Scope) -> str:
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


async def _read(receive: Receive) -> bytes | None:
    """The body, or as much of it as shows that it is too large; None if the client left."""
    body = bytearray()
    more = True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _refusal(scope: Scope, body: bytes) -> JSONResponse | None:
    """What is wrong with a body; one that is empty is left to its route."""
    if len(body) > MAX_BODY_BYTES:
        return _refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"The body has more than {MAX_BODY_BYTES:,} bytes. Send less at a time.",
        )
    if body and _content_type(scope) != "application/json":
        return _refuse(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "Send JSON, with the header Content-Type: application/json.",
        )
    try:
        value = json.loads(body or b"null", parse_constant=_refuse_constant, parse_int=_whole)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _refuse(
            HTTPStatus.BAD_REQUEST,
            "bad_json",
            "The body holds half a character: one of \\ud800 to \\udfff without its other half.",
        )
    except RecursionError:
        return _refuse(HTTPStatus.BAD_REQUEST, "bad_json", "The body is nested too deeply.")
    except ValueError as exc:  # also of what is not UTF-8
        return _refuse(HTTPStatus.BAD_REQUEST, "bad_json", f"The body is not JSON: {exc}.")
    return None


def _whole(digits: str) -> int:
    """A number that whatever writes JSON again can write."""
    value = int(digits) if len(digits) < _MOST_DIGITS else 2**63
    if not -(2**63) <= value < 2**63:
        raise ValueError("it holds a whole number of more than 64 bits")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which only Python takes for JSON")


def _refuse(status: HTTPStatus, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(code, message), status)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once, and then whatever comes, such as the client leaving."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
