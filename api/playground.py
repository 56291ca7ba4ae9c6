"""LangServe at ``/rag``. Its authors only mend it now, so nothing else depends on it."""

import warnings
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langserve import add_routes
from pydantic import BaseModel, ConfigDict, Field

from api.leaving import LeavableRoute
from api.run import Run
from api.security import asks
from api.service import Service
from backends.accounting import AnsweringModel, Usage
from backends.reader import Passage
from errors import TandemError
from graph.citation import Citation, place
from graph.freshness import Freshness, in_words
from graph.question import MAX_QUESTION_CHARS
from graph.state import RagOutput, Status
from graph.step import Event
from graph.verdict import Verdict


class Question(BaseModel):
    """What ``/rag`` takes."""

    model_config = ConfigDict(title="Question")

    question: str = Field(
        max_length=4 * MAX_QUESTION_CHARS,
        title="Question",
        # For the playground's form, which would greet with "must have required property".
        json_schema_extra={"default": ""},
    )


class Answer(BaseModel):
    """What ``/rag`` returns."""

    question: str
    answer: str
    citations: list[Citation]
    verdicts: list[Verdict]
    documents: list[Passage]
    status: Status
    reader: str
    notice: str
    queries: list[str]
    index: Freshness
    model: AnsweringModel | None
    usage: Usage
    timings: dict[str, float]
    trace_id: str | None


def add_playground(app: FastAPI, service: Service) -> None:
    """Mount LangServe's routes and its playground at ``/rag``.

    The playground shows what is no text as JSON: so it has a runnable of its own, which it reads
    through ``stream_log``.
    """
    # LangServe's own call, which nobody who reads the service's output could mend.
    warnings.filterwarnings("ignore", message="astream_log is deprecated")
    # A router of our own: to an application LangServe would add a banner.
    asking = [Depends(asks(service))]
    router = APIRouter(route_class=LeavableRoute, dependencies=asking)
    add_routes(
        router,
        rag_runnable(service),
        path="/rag",
        enabled_endpoints=[
            "invoke", "batch", "stream", "stream_events",
            "input_schema", "output_schema", "config_schema",
        ],
    )  # fmt: skip
    add_routes(
        router,
        page_runnable(service),
        path="/rag",
        enabled_endpoints=["playground", "stream_log"],
    )
    app.include_router(router)


def rag_runnable(service: Service) -> Runnable[Any, Any]:
    """The graph as a runnable that streams its answer.

    The pieces add up to the result: first the answer as it is written, then everything else.
    """

    async def answer(inputs: AsyncIterator[Any]) -> AsyncIterator[AddableDict]:
        async for received in inputs:
            streamed = ""
            async for event in _events(service, received):
                if event["event"] == "token":
                    streamed += event["data"]["text"]
                    yield AddableDict(answer=event["data"]["text"])
                elif event["event"] == "done":
                    output = dict(event["data"])
                    if streamed:
                        del output["answer"]
                    yield AddableDict(output)

    rag: Runnable[Any, Any] = RunnableGenerator(answer, name="rag")
    return rag.with_types(input_type=Question, output_type=Answer)


def page_runnable(service: Service) -> Runnable[Any, Any]:
    """The graph as a runnable that streams text for people: the answer, then its sources.

    Errors are text too: the playground says nothing of those that end its stream.
    """

    async def page(inputs: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for received in inputs:
            streamed = ""
            try:
                async for event in _events(service, received):
                    if event["event"] == "token":
                        streamed += event["data"]["text"]
                        yield event["data"]["text"]
                    elif event["event"] == "done":
                        yield ("" if streamed else event["data"]["answer"]) + sources(event["data"])
            except TandemError as exc:
                yield str(exc)

    text: Runnable[Any, Any] = RunnableGenerator(page, name="rag")
    return text.with_types(input_type=Question, output_type=str)


def sources(output: RagOutput) -> str:
    """What is below an answer: where each quote stands, and what else is to be known."""
    quotes = [f"[{c['marker']}] {place(c)}\n“{c['quote']}”" for c in output["citations"]]
    notes = [output["notice"], in_words(output["index"])]
    return "".join(f"\n\n{part}" for part in [*quotes, *notes] if part)


async def _events(service: Service, received: Any) -> AsyncIterator[Event]:
    question = received["question"] if isinstance(received, dict) else received.question
    async with Run(service.answer(question, service.context())) as run:
        async for batch in run.batches():
            for event in batch:
                yield event
