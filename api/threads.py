"""``/threads``: what a conversation remembers, and forgetting it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Path as InPath

from api.answering import Answering
from api.rendering import render, rendered
from api.security import Caller, requires
from errors import NotFound
from graph.question import THREAD, owned
from graph.state import RagOutput

ThreadId = Annotated[str, InPath(pattern=f"^{THREAD}$")]


def threads_router(service: Answering) -> APIRouter:
    """The router of ``/threads``. A thread is its tenant's own, as it is for ``/ask``."""
    router = APIRouter(prefix="/threads", tags=["threads"])
    asking = Depends(requires(service, "ask"))

    @router.get("/{thread_id}")
    async def thread(thread_id: ThreadId, caller: Annotated[Caller, asking]) -> dict[str, Any]:
        """The ``turns`` of a conversation, and the whole result of the ``last`` one."""
        state = await service.threads.last(owned(thread_id, caller.tenant))
        if not state.get("conversation"):
            raise NotFound(
                f"There is no conversation {thread_id!r}. It begins with the first question that "
                "is answered on it, and those that nobody used for longest are forgotten."
            )
        return {
            "thread_id": thread_id,
            "turns": [{**turn, "html": render(turn["answer"])} for turn in state["conversation"]],
            "last": rendered({key: state.get(key) for key in RagOutput.__annotations__}),
        }

    @router.delete("/{thread_id}", status_code=204)
    async def forget(thread_id: ThreadId, caller: Annotated[Caller, asking]) -> None:
        """Forget a conversation; one that there is not is no error."""
        thread = owned(thread_id, caller.tenant)
        async with service.threads.turn(thread):  # a run on it would write it anew
            await service.threads.forget(thread)

    return router
