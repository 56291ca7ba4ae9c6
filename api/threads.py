"""``/threads``: what a conversation remembers, and forgetting it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from typing_extensions import TypedDict

from api.answering import Answering
from api.rendering import render, rendered
from api.security import Caller, requires
from backends.reader import Turn
from errors import NotFound
from graph.question import THREAD, owned
from graph.state import RagOutput
from graph.turns import STOPPED_WITHIN_S, turns_shown

ThreadId = Annotated[str, InPath(pattern=f"^{THREAD}$")]


class RenderedOutput(RagOutput):
    """A run's result, and its answer as HTML."""

    html: str
    """Sanitised: no script, style, image or link is left."""


class RememberedTurn(Turn):
    """A question of a conversation and what was answered."""

    html: str
    """The answer as HTML, sanitised."""
    stopped: bool
    """Whether the run was ended before its answer was complete."""
    result: RenderedOutput | None
    """The whole result, as ``done`` carried it; null where only the words are remembered."""


class Conversation(TypedDict):
    """What a thread remembers."""

    thread_id: str
    turns: list[RememberedTurn]
    """The earliest first."""
    last: RenderedOutput
    """The whole result of the last turn."""


def threads_router(service: Answering) -> APIRouter:
    """The router of ``/threads``. A thread is its tenant's own, as it is for ``/ask``."""
    router = APIRouter(prefix="/threads", tags=["threads"])
    asking = Depends(requires(service, "ask"))

    @router.get("/{thread_id}", response_model=None, responses={200: {"model": Conversation}})
    async def thread(thread_id: ThreadId, caller: Annotated[Caller, asking]) -> JSONResponse:
        """The ``turns`` of a conversation, and the whole result of the ``last`` one."""
        name = owned(thread_id, caller.tenant)
        await _settled(service, name)
        state = await service.threads.last(name)
        if not state.get("conversation"):
            raise NotFound(
                f"There is no conversation {thread_id!r}. It begins with the first question that "
                "is answered on it, and those that nobody used for longest are forgotten."
            )
        kept = await service.threads.remembered(name)
        # In a thread: twenty long answers take a while to render.
        return JSONResponse(await asyncio.to_thread(_told, thread_id, state, kept))

    @router.delete("/{thread_id}", status_code=204)
    async def forget(thread_id: ThreadId, caller: Annotated[Caller, asking]) -> None:
        """Forget a conversation; one that there is not is no error."""
        thread = owned(thread_id, caller.tenant)
        async with service.threads.turn(thread):  # a run on it would write it anew
            await service.threads.forget(thread)

    return router


async def _settled(service: Answering, thread: str) -> None:
    """Wait a moment for a run on the thread: it may be ending, as its client has left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOPPED_WITHIN_S), service.threads.turn(thread):
            pass


def _told(thread_id: str, state: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    turns = []
    for turn, shown in turns_shown(state["conversation"], kept):
        result = rendered(shown["result"]) if shown else None
        stopped = shown["stopped"] if shown else False
        turns.append({**turn, "html": render(turn["answer"]), "stopped": stopped, "result": result})
    # Where a later run broke off, the state is neither its nor the last turn's.
    last = turns[-1]["result"] or rendered(
        {key: state.get(key) for key in RagOutput.__annotations__}
    )
    return {"thread_id": thread_id, "turns": turns, "last": last}
