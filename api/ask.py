"""``POST /ask``: a question in, typed server-sent events or one JSON object out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from api.answering import Answering
from api.ask_events import stream_content
from api.http.bodies import Body
from api.http.event_stream import EventStream, TypedEvents
from api.http.leaving import LeavableRoute
from api.rendering import RenderedEvents, rendered
from api.run import Run
from api.security import Caller, asks
from backends.filters import SearchFilters
from graph.context import RagContext
from graph.question import MAX_QUESTION_CHARS, THREAD, check_question
from graph.state import RagOutput

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RagOutput,
        "description": "Events, or with `stream: false` what `done` would carry.",
        "content": {"text/event-stream": stream_content()},
    }
}


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
    html: bool = Field(False, description="Send the answer as sanitised HTML too.")
    options: AskOptions = AskOptions()
    filters: SearchFilters | None = None


def ask_router(service: Answering) -> APIRouter:
    """The router of ``/ask``."""
    router = APIRouter(tags=["ask"], route_class=LeavableRoute)
    asking = Depends(asks(service))

    @router.post("/ask", response_model=None, responses=_RESPONSES)
    async def ask(request: AskRequest, caller: Annotated[Caller, asking]) -> Response:
        """Answer a question from the indexed documents.

        Streams the events ``step``, ``token``, ``citation``, then exactly one ``done`` or
        ``error``; with ``"html": true`` also ``html``, the answer's blocks as they grow. With
        ``"stream": false``, answers with what ``done`` would carry.
        """
        question = check_question(request.question)
        context = _context(service, request)
        events = service.answer(question, context, request.thread_id, tenant=caller.tenant)
        if request.stream:
            return EventStream(events, RenderedEvents() if request.html else TypedEvents())
        async with Run(events) as run:
            output = await run.output()
        return JSONResponse(rendered(output) if request.html else output)

    return router


def _context(service: Answering, request: AskRequest) -> RagContext:
    chosen = request.options.model_dump(exclude_none=True)
    if "k" in chosen:
        chosen["top_k"] = chosen.pop("k")
    return service.context().model_copy(update={**chosen, "filters": request.filters})
