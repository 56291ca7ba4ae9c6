"""What Tandem's streaming is compared with, as the libraries' own documents have it.

    python -m benchmarks.streaming_stock --model-url http://127.0.0.1:1/v1

- ``/messages``: a LangGraph graph whose one node calls ``ChatOpenAI``, streamed by
  ``astream(stream_mode="messages")`` behind server-sent events.
- ``/stock/stream_events``: the same graph behind LangServe.
- ``/proxy``: no graph at all; what the model sends is handed on as it is.

Both graphs are traced by openinference's instrumentor, in batches, as Tandem is. They search and
grade nothing, so that all that is measured is streaming.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langserve import add_routes
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic import BaseModel, SecretStr
from sse_starlette import EventSourceResponse
from typing_extensions import TypedDict

from benchmarks.streaming_model import MODEL

CONTEXT = "The tower stands on a ledge of red granite and is 41 metres high. " * 60


class State(TypedDict, total=False):
    """What the graph carries."""

    question: str
    answer: str


class Question(BaseModel):
    """What the routes take."""

    question: str


def graph(model_url: str) -> Any:
    """One node, one call."""
    chat = ChatOpenAI(model=MODEL, base_url=model_url, api_key=SecretStr("none"))

    async def generate(state: State) -> State:
        prompt = [("system", CONTEXT), ("user", state["question"])]
        return {"answer": (await chat.ainvoke(prompt)).text}

    builder = StateGraph(State)
    builder.add_node("generate", generate)
    builder.add_edge(START, "generate")
    builder.add_edge("generate", END)
    return builder.compile()


def trace(endpoint: str) -> None:
    """Record every run and send it in batches."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    LangChainInstrumentor().instrument(tracer_provider=provider)


def application(model_url: str) -> FastAPI:
    """The three ways to stream."""
    app = FastAPI()
    compiled = graph(model_url)
    http = httpx.AsyncClient(base_url=model_url, limits=httpx.Limits(max_connections=None))

    @app.post("/messages")
    async def messages(question: Question) -> EventSourceResponse:
        async def events() -> AsyncIterator[dict[str, str]]:
            stream = compiled.astream({"question": question.question}, stream_mode="messages")
            async for message, _ in stream:
                if isinstance(message, AIMessageChunk) and message.text:
                    yield {"event": "token", "data": json.dumps({"text": message.text})}
            yield {"event": "done", "data": "{}"}

        return EventSourceResponse(events())

    @app.post("/proxy")
    async def proxy(question: Question) -> StreamingResponse:
        async def handed_on() -> AsyncIterator[bytes]:
            asked = {"role": "user", "content": question.question}
            body = {"model": MODEL, "messages": [asked], "stream": True}
            async with http.stream("POST", "/chat/completions", json=body, timeout=600) as answer:
                async for part in answer.aiter_raw():
                    yield part

        return StreamingResponse(handed_on(), media_type="text/event-stream")

    add_routes(
        app,
        compiled.with_types(input_type=Question),
        path="/stock",
        enabled_endpoints=["stream_events"],
    )
    return app


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model-url", required=True)
    options = parser.parse_args()
    trace(options.model_url.removesuffix("/v1"))
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(application(options.model_url), log_level="warning", access_log=False)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
