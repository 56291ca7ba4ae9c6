"""``/feedback``: a person's verdict on an answer, put down at its trace in Phoenix."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from api.answering import Answering
from api.http.bodies import Body
from api.security import Caller, requires
from backends.phoenix.annotations import annotate
from errors import PhoenixUnavailable

GOOD_FROM = 0.5
"""The score from which an answer counts as good."""


class Feedback(Body):
    """What a person thinks of an answer."""

    trace_id: str = Field(
        pattern="^[0-9a-f]{32}$", description="The answer's `trace_id`, as `done` carried it."
    )
    score: float = Field(ge=0, le=1, description="From 0, bad, to 1, good.")
    comment: str = Field("", max_length=2_000)


def feedback_router(service: Answering) -> APIRouter:
    """The router of ``/feedback``."""
    router = APIRouter(tags=["feedback"])
    asking = Depends(requires(service, "ask"))

    @router.post("/feedback", status_code=202)
    async def feedback(given: Feedback, caller: Annotated[Caller, asking]) -> dict[str, bool]:
        """Take a verdict on an answer. Each caller has one; a later one replaces it.

        It reaches the trace in the background, a few seconds after the trace itself.
        """
        taken = annotate(
            name="feedback",
            trace_id=given.trace_id,
            score=given.score,
            label="good" if given.score >= GOOD_FROM else "bad",
            explanation=given.comment.strip() or None,
            by="HUMAN",
            identifier=caller.name,
        )
        if not taken:
            raise PhoenixUnavailable(
                "The feedback was not kept: tracing is off (TANDEM_PHOENIX__ENDPOINT), or too much "
                "waits for Phoenix. Try again later."
            )
        return {"taken": taken}

    return router
