"""Errors as HTTP answers: one JSON shape, ``{"error": {"code", "message", "request_id"}}``."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.logs import request_id
from errors import Stopping, TandemError, TooBusy, TooManyRequests, Unauthenticated

log = logging.getLogger("tandem")

_CODES = {413: "body_too_large"}
"""Codes of our own for what the framework refuses; others go by the name of their status."""


def error_body(code: str, message: str, *, field: str = "") -> dict[str, dict[str, str]]:
    """The shape of every error. What a client sent may come back in it: lone surrogates too.

    ``field`` names the part of the request that is wrong, where it is one.
    """
    error = {"code": code, "message": message.encode(errors="replace").decode()}
    if field:
        error["field"] = field.encode(errors="replace").decode()
    if (request := request_id()) is not None:
        error["request_id"] = request
    return {"error": error}


def error_answer(error: TandemError) -> JSONResponse:
    """The answer to a request that an error ended."""
    return JSONResponse(error_body(error.code, str(error)), error.http_status, _headers(error))


def add_error_handlers(app: FastAPI) -> None:
    """Answer errors raised on purpose, and a client's mistakes, with code and message."""

    @app.exception_handler(TandemError)
    async def tandem_error(request: Request, exc: TandemError) -> JSONResponse:
        if exc.http_status >= 500:
            log.error("%s %s: %s", request.method, request.url.path, exc)
        return error_answer(exc)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, exc: HTTPException) -> JSONResponse:
        code = _CODES.get(exc.status_code) or HTTPStatus(exc.status_code).name.lower()
        return JSONResponse(error_body(code, str(exc.detail)), exc.status_code, exc.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        return _invalid(exc.errors())

    @app.exception_handler(ValidationError)
    async def invalid_in_batch(request: Request, exc: ValidationError) -> JSONResponse:
        if request.url.path not in ("/rag/batch", "/chat/batch"):
            raise exc
        return _invalid(exc.errors())  # LangServe leaves its inputs' errors untranslated there

    @app.exception_handler(Exception)
    async def unexpected(request: Request, exc: Exception) -> JSONResponse:
        # The server logs it, with its traceback, after this. No middleware adds headers to it.
        message = "Something went wrong that should not: the service's output tells what."
        headers = {"X-Request-ID": request_id() or "", "X-Content-Type-Options": "nosniff"}
        return JSONResponse(error_body("internal_error", message), 500, headers)


def _headers(exc: TandemError) -> dict[str, str] | None:
    if isinstance(exc, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(exc, TooBusy | TooManyRequests | Stopping):
        return {"Retry-After": str(exc.retry_after_s)}
    return None


def _invalid(errors: Any) -> JSONResponse:
    field = "" if not errors or isinstance(errors[0], str) else _place(errors[0])
    message = "; ".join(map(_in_words, errors))
    return JSONResponse(error_body("bad_request", message, field=field), 422)


def _in_words(error: Any) -> str:
    if isinstance(error, str):  # LangServe's
        return error
    place = _place(error)
    return f"{place}: {error['msg']}" if place else str(error["msg"])


def _place(error: Any) -> str:
    """The field that an error is about, as a path: ``body.options.k``."""
    return ".".join(str(part) for part in error["loc"])


class BrokenOffStreams:
    """ASGI middleware that ends a stream whose run failed, where it would break the connection.

    LangServe has told the client by an ``error`` event when it raises the error again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RuntimeError as exc:
            # Starlette's, for a handled error that came after the response had started.
            if not isinstance(exc.__cause__, TandemError):
                raise
            if exc.__cause__.http_status >= 500:
                log.error("%s %s: %s", scope["method"], scope["path"], exc.__cause__)  # noqa: TRY400 - no traceback
            end: Message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(end)
