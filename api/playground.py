"""LangServe at ``/rag`` and ``/chat``. Its authors only mend it now: nothing else depends on it."""

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langserve import add_routes
from langserve.server import EndpointName
from pydantic import BaseModel, ConfigDict, Field

from api.answering import Answering
from api.http.leaving import LeavableRoute
from api.run import Run
from api.security import Caller, asks, requires
from backends.accounting import AnsweringModel, Usage
from backends.reader import Passage, Turn
from errors import QuestionError, TandemError, UsageError
from graph.citation import Citation, place
from graph.freshness import Freshness, in_words
from graph.question import MAX_QUESTION_CHARS
from graph.state import RagOutput, Status
from graph.step import Event
from graph.verdict import Verdict
from nodes.conversation import Said, question_and_turns

MAX_MESSAGES = 1_000
MAX_BATCH = 100
"""Questions of one request."""


class Question(BaseModel):
    """What ``/rag`` takes."""

    model_config = ConfigDict(title="Question")

    question: str = Field(
        max_length=4 * MAX_QUESTION_CHARS,
        title="Question",
        # For the playground's form, which would greet with "must have required property".
        json_schema_extra={"default": ""},
    )


class Chat(BaseModel):
    """What ``/chat`` takes: the whole conversation, the question last."""

    model_config = ConfigDict(title="Chat")

    messages: list[HumanMessage | AIMessage | SystemMessage] = Field(
        max_length=MAX_MESSAGES, title="Messages"
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


def add_playground(app: FastAPI, service: Answering) -> None:
    """Mount LangServe's routes, its playground at ``/rag`` and its chat playground at ``/chat``.

    The pages show what is no text as JSON: so they have runnables of their own, which they read
    through ``stream_log``.
    """
    # LangServe's own call, which nobody who reads the service's output could mend.
    warnings.filterwarnings("ignore", message="astream_log is deprecated")
    # A router of our own: to an application LangServe would add a banner.
    router = APIRouter(route_class=LeavableRoute)
    known, asked = _known(requires(service, "ask")), _known(asks(service))

    def add(
        runnable: Runnable[Any, Any], path: str, *endpoints: EndpointName, **options: Any
    ) -> None:
        looked_at = "playground" in endpoints or "input_schema" in endpoints
        add_routes(
            router,
            runnable,
            path=path,
            enabled_endpoints=endpoints,
            dependencies=[Depends(known if looked_at else asked), Depends(_readable)],
            per_req_config_modifier=_only_the_caller,
            enable_feedback_endpoint=False,  # it would go to LangSmith
            **options,
        )

    schemas: tuple[EndpointName, ...] = ("input_schema", "output_schema", "config_schema")
    rag, rag_page = rag_runnable(service), text_runnable(service, Question, for_page=True)
    add(rag, "/rag", "invoke", "batch", "stream", "stream_events")
    add(rag, "/rag", *schemas)
    add(rag_page, "/rag", "stream_log")
    add(rag_page, "/rag", "playground")
    chat, chat_page = text_runnable(service, Chat), text_runnable(service, Chat, for_page=True)
    add(chat, "/chat", "invoke", "batch", "stream", "stream_events")
    add(chat, "/chat", *schemas, "config_hashes")  # its page asks for those below /chat/c/
    add(chat_page, "/chat", "stream_log")
    add(chat_page, "/chat", "playground", playground_type="chat")
    app.include_router(router)


def _known(dependency: Callable[..., Awaitable[Caller]]) -> Callable[..., Awaitable[None]]:
    """The dependency, which leaves the caller where a run's configuration is made."""

    async def known(request: Request, caller: Annotated[Caller, Depends(dependency)]) -> None:
        request.state.caller = caller

    return known


async def _readable(request: Request) -> None:
    """Refuses what LangServe would break on when it reads a request by itself.

    Raises:
        UsageError: a part of the request is of the wrong kind.
    """
    if request.method != "POST":
        return
    body = await request.json()
    if not isinstance(body, dict):
        return  # that much LangServe tells by itself
    configs = body.get("config", {})
    for config in configs if isinstance(configs, list) else [configs]:
        if not isinstance(config, dict):
            raise UsageError('"config" must be an object; it may be left out.')
    if request.url.path.endswith("/batch"):
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or len(inputs) > MAX_BATCH:
            raise UsageError(f'"inputs" must be a list of at most {MAX_BATCH} questions.')
        if isinstance(configs, list) and len(configs) != len(inputs):
            raise UsageError('"config" must be one object, or one for each of the inputs.')
    else:
        inputs = [body.get("input")]
        if isinstance(configs, list):
            raise UsageError('"config" must be an object; it may be left out.')
    for each in inputs:
        messages = each.get("messages") if isinstance(each, dict) else None
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict) and (
                message.get("tool_calls") or message.get("invalid_tool_calls")
            ):
                raise UsageError("Messages with calls of tools cannot be taken: there are none.")


def _only_the_caller(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """A run's configuration: who asks. Nothing that a client sends gets into it."""
    return {"configurable": {"caller": request.state.caller}}


def rag_runnable(service: Answering) -> Runnable[Any, Any]:
    """The graph as a runnable that streams its answer.

    The pieces add up to the result: first the answer as it is written, then everything else.
    """

    async def answer(
        inputs: AsyncIterator[Any], config: RunnableConfig
    ) -> AsyncIterator[AddableDict]:
        async for received in inputs:
            streamed = False
            async with aclosing(_events(service, received, config)) as events:
                async for event in events:
                    if event["event"] == "token":
                        streamed = True
                        yield AddableDict(answer=event["data"]["text"])
                    elif event["event"] == "done":
                        output = dict(event["data"])
                        if streamed:
                            del output["answer"]
                        yield AddableDict(output)

    rag: Runnable[Any, Any] = RunnableGenerator(cast(Any, answer), name="rag")
    return rag.with_types(input_type=Question, output_type=Answer)


def text_runnable(
    service: Answering, taken: type[BaseModel], *, for_page: bool = False
) -> Runnable[Any, Any]:
    """The graph as a runnable that streams text for people: the answer, then its sources.

    For the pages errors are text too: they say nothing of those that end their streams.
    """

    async def text(inputs: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[str]:
        async for received in inputs:
            streamed = False
            try:
                async with aclosing(_events(service, received, config)) as events:
                    async for event in events:
                        if event["event"] == "token":
                            streamed = True
                            yield event["data"]["text"]
                        elif event["event"] == "done":
                            output = event["data"]
                            yield ("" if streamed else output["answer"]) + sources(output)
            except TandemError as exc:
                if not for_page:
                    raise
                yield str(exc)

    runnable: Runnable[Any, Any] = RunnableGenerator(cast(Any, text), name="rag")
    return runnable.with_types(input_type=taken, output_type=str)


def sources(output: RagOutput) -> str:
    """What is below an answer: where each quote stands, and what else is to be known."""
    quotes = [f"[{c['marker']}] {place(c)}\n“{c['quote']}”" for c in output["citations"]]
    notes = [output["notice"], in_words(output["index"])]
    return "".join(f"\n\n{part}" for part in [*quotes, *notes] if part)


async def _events(
    service: Answering, received: Any, config: RunnableConfig
) -> AsyncGenerator[Event]:
    """A run for what was received, on behalf of the request's caller."""
    tenant = config["configurable"]["caller"].tenant
    question, turns = _asked(received)
    context = service.context()
    events = service.answer(question, context, tenant=tenant, conversation=turns)
    async with Run(events) as run:
        async for batch in run.batches():
            for event in batch:
                yield event


def _asked(received: dict[str, Any]) -> tuple[object, Sequence[Turn]]:
    """The question, and what was said before it."""
    if "messages" not in received:
        return received["question"], ()
    return question_and_turns(
        Said("user" if message.type == "human" else "assistant", _text(message.content))
        for message in received["messages"]
        if message.type != "system"
    )


def _text(content: str | list[str | dict[str, Any]]) -> str:
    """What a message says. LangChain's own way breaks on parts that name no type.

    Raises:
        QuestionError: a part of it is no text.
    """
    if isinstance(content, str):
        return content
    parts = [
        part if isinstance(part, str) else part.get("text") if part.get("type") == "text" else None
        for part in content
    ]
    if not all(isinstance(part, str) for part in parts):
        raise QuestionError("Only text can be asked: a message holds a part of another kind.")
    return "\n".join(cast(list[str], parts))
