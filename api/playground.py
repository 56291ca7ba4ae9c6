"""LangServe at ``/rag``. Its authors only mend it now, so nothing else depends on it."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langserve import add_routes
from pydantic import BaseModel, ConfigDict, Field

from api.service import Service
from backends.reader import Passage
from graph.events import run_events
from graph.state import MAX_QUESTION_CHARS, Citation, Status


class Question(BaseModel):
    """What ``/rag`` takes."""

    model_config = ConfigDict(title="Question")

    question: str = Field(max_length=4 * MAX_QUESTION_CHARS, title="Question")


class Answer(BaseModel):
    """What ``/rag`` returns."""

    question: str
    answer: str
    citations: list[Citation]
    documents: list[Passage]
    status: Status
    reader: str
    notice: str
    queries: list[str]


def add_playground(app: FastAPI, service: Service) -> None:
    """Mount LangServe's routes and its playground at ``/rag``."""
    add_routes(
        app,
        rag_runnable(service),
        path="/rag",
        enabled_endpoints=[
            "invoke", "batch", "stream", "stream_log", "stream_events", "playground",
            "input_schema", "output_schema", "config_schema",
        ],
    )  # fmt: skip
    app.router.on_startup.clear()  # LangServe's only: it prints a banner


def rag_runnable(service: Service) -> Runnable[Any, Any]:
    """The graph as a runnable that streams its answer.

    The pieces add up to the result: first the answer as it is written, then everything else.
    """

    async def answer(inputs: AsyncIterator[Any]) -> AsyncIterator[AddableDict]:
        async for received in inputs:
            question = received["question"] if isinstance(received, dict) else received.question
            streamed = ""
            async for event in run_events(service.graph, question, service.context()):
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
