"""``POST /ask``: a question in, typed server-sent events or one JSON object out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.bodies import Body
from api.errors import error_body
from api.security import Caller, requires
from api.service import Service
from backends.filters import SearchFilters
from errors import TandemError
from graph.context import RagContext
from graph.events import Event
from graph.question import MAX_QUESTION_CHARS, THREAD, check_question

_QUEUE = 256
"""Events a slow reader may fall behind before the run waits for it."""


class AskOptions(Body):
    """Knobs of one question; what is left out comes from the settings."""

    k: int | None = Field(None, ge=1, le=50)
    max_rewrites: int | None = Field(None, ge=0, le=5)
    deadline_s: float | None = Field(None, gt=0, le=600)


class AskRequest(Body):
    """A question to the index."""

    question: str = Field(max_length=4 * MAX_QUESTION_CHARS)
    thread_id: str | None = Field(
        None,
        pattern=f"^{THREAD}$",
        description="A conversation of the client's own naming: the question may refer to the "
        "ones before it.",
    )
    stream: bool = True
    options: AskOptions = AskOptions()
    filters: SearchFilters | None = None


def ask_router(service: Service) -> APIRouter:
    """The router of ``/ask``."""
    router = APIRouter(tags=["ask"])
    asking = Depends(requires(service, "ask"))

    @router.post("/ask", response_model=None)
    async def ask(request: AskRequest, caller: Annotated[Caller, asking]) -> Response:
        """Answer a question from the indexed documents.

        Streams the events ``step``, ``token``, ``citation``, then exactly one ``done`` or
        ``error``. With ``"stream": false``, answers with what ``done`` would carry.
        """
        question = check_question(request.question)
        context = _context(service, request)
        events = service.answer(question, context, request.thread_id, tenant=caller.tenant)
        if request.stream:
            headers = {"X-Accel-Buffering": "no"}
            return EventSourceResponse(_sent(events), headers=headers, ping=15)
        async for event in events:
            if event["event"] == "done":
                return JSONResponse(event["data"])
        raise RuntimeError("a run ended without done")

    return router


def _context(service: Service, request: AskRequest) -> RagContext:
    chosen = request.options.model_dump(exclude_none=True)
    if "k" in chosen:
        chosen["top_k"] = chosen.pop("k")
    return service.context().model_copy(update={**chosen, "filters": request.filters})


async def _sent(events: AsyncGenerator[Event]) -> AsyncIterator[ServerSentEvent]:
    """The events of a run as they are sent; an error on the way becomes the last event.

    The run is a task of its own, so that a client that goes away ends it at once, whatever it
    is waiting for.
    """
    queue: asyncio.Queue[Event | TandemError | None] = asyncio.Queue(_QUEUE)

    async def run() -> None:
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    await queue.put(event)
        except TandemError as exc:
            await queue.put(exc)
        else:
            await queue.put(None)

    task = asyncio.create_task(run())
    try:
        while (item := await _next(queue, task)) is not None:
            if isinstance(item, TandemError):
                body = error_body(item.code, str(item))["error"]
                yield ServerSentEvent(event="error", data=json.dumps(body))
                return
            yield ServerSentEvent(event=item["event"], data=json.dumps(item["data"]))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _next(
    queue: asyncio.Queue[Event | TandemError | None], task: "asyncio.Task[None]"
) -> Event | TandemError | None:
    """The next item; a run that broke raises here instead of leaving its reader waiting."""
    getter = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({getter, task}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done() and queue.empty():
            task.result()
        return await getter
    finally:
        getter.cancel()
