"""Traces through the real instrumentor and exporter; only the network is replaced."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackManager, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import TypedDict

from backends import tracing
from backends.recording import record_documents
from backends.tracing import Tracing, current_trace_id, start_tracing
from settings import PhoenixSettings

SETTINGS = PhoenixSettings(endpoint="http://127.0.0.1:6006", project="tests")


class Collector:
    """Phoenix's side of the wire: takes what is posted and decodes it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.urls: list[str] = []
        self.bodies = b""
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._take)

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.reached.set()
        assert self.open.wait(30)
        self.urls.append(str(request.url))
        self.bodies += request.content
        self.requests.append(ExportTraceServiceRequest.FromString(request.content))
        return httpx.Response(200)

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found


def attributes(span: Span) -> dict[str, Any]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value")
        for item in span.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.open.set()


@pytest.fixture
def traced(collector: Collector) -> Iterator[Tracing]:
    tracing = start_tracing(SETTINGS, transport=collector.transport())
    yield tracing
    tracing.shutdown()


class State(TypedDict, total=False):
    question: str
    found: int
    trace_id: str | None


class Shelf(BaseRetriever):
    """A retriever that returns what it was given, as the vector store would."""

    documents: list[Document]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        record_documents(run_manager.run_id, self.documents)
        return self.documents


def shelf(count: int) -> Shelf:
    return Shelf(
        documents=[
            Document(f"text {n}", id=f"id-{n}", metadata={"score": n / 100, "source": "a.md"})
            for n in range(count)
        ]
    )


def two_steps(retriever: Shelf) -> CompiledStateGraph[State, None, State, State]:
    async def retrieve(state: State) -> State:
        return {"found": len(await retriever.ainvoke(state["question"]))}

    async def generate(state: State) -> State:
        return {"trace_id": current_trace_id()}

    builder = StateGraph(State)
    builder.add_node("retrieve", retrieve)
    builder.add_node("generate", generate)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "generate")
    builder.add_edge("generate", END)
    return builder.compile(name="rag")


async def test_a_run_is_one_trace_of_its_nodes_in_the_project(
    collector: Collector, traced: Tracing
) -> None:
    await two_steps(shelf(1)).ainvoke({"question": "why?"})
    await traced.aclose()

    assert {span.name for span in collector.spans} >= {"rag", "retrieve", "generate", "Shelf"}
    assert len({span.trace_id for span in collector.spans}) == 1
    assert set(collector.urls) == {"http://127.0.0.1:6006/v1/traces"}
    resource = collector.requests[0].resource_spans[0].resource
    names = {item.key: item.value.string_value for item in resource.attributes}
    assert names["openinference.project.name"] == "tests"


async def test_what_langgraph_does_between_the_nodes_is_no_span(
    collector: Collector, traced: Tracing
) -> None:
    def route_at_start(state: State) -> str:
        return "generate"

    async def generate(state: State) -> State:
        return {"trace_id": current_trace_id()}

    builder = StateGraph(State)
    builder.add_node("generate", generate)
    builder.add_conditional_edges(START, route_at_start, ["generate"])
    builder.add_edge("generate", END)
    result = await builder.compile(name="rag").ainvoke({"question": "why?"})
    await traced.aclose()

    assert {span.name for span in collector.spans} == {"rag", "generate"}
    assert collector.span("generate").parent_span_id == collector.span("rag").span_id
    assert result["trace_id"] == collector.span("generate").trace_id.hex()


async def test_the_retriever_span_carries_ids_and_scores(
    collector: Collector, traced: Tracing
) -> None:
    await two_steps(shelf(3)).ainvoke({"question": "why?"})
    await traced.aclose()

    found = attributes(collector.span("Shelf"))
    assert found["openinference.span.kind"] == "RETRIEVER"
    assert found["retrieval.documents.2.document.id"] == "id-2"
    assert found["retrieval.documents.2.document.score"] == 0.02
    assert found["retrieval.documents.2.document.content"] == "text 2"


async def test_a_wide_search_loses_no_document(collector: Collector, traced: Tracing) -> None:
    await two_steps(shelf(100)).ainvoke({"question": "why?"})
    await traced.aclose()

    found = attributes(collector.span("Shelf"))
    assert found["retrieval.documents.0.document.id"] == "id-0"
    assert found["retrieval.documents.99.document.score"] == 0.99


async def test_documents_without_id_or_score_are_recorded_all_the_same(
    collector: Collector, traced: Tracing
) -> None:
    await two_steps(Shelf(documents=[Document("bare")])).ainvoke({"question": "why?"})
    await traced.aclose()

    found = attributes(collector.span("Shelf"))
    assert found["retrieval.documents.0.document.content"] == "bare"
    assert "retrieval.documents.0.document.id" not in found


async def test_a_node_knows_its_trace(collector: Collector, traced: Tracing) -> None:
    result = await two_steps(shelf(1)).ainvoke({"question": "why?"})
    assert current_trace_id() is None
    await traced.aclose()

    assert result["trace_id"] == collector.span("generate").trace_id.hex()


async def test_an_empty_endpoint_switches_tracing_off() -> None:
    tracing = start_tracing(PhoenixSettings(endpoint=" "))

    assert not tracing.enabled
    assert BaseCallbackManager([]).handlers == []
    result = await two_steps(shelf(1)).ainvoke({"question": "why?"})
    assert result["trace_id"] is None
    tracing.shutdown()


async def test_starting_twice_records_once(collector: Collector, traced: Tracing) -> None:
    assert start_tracing(SETTINGS) is traced
    await two_steps(shelf(1)).ainvoke({"question": "why?"})
    await traced.aclose()

    assert [span.name for span in collector.spans].count("generate") == 1


async def test_after_shutdown_nothing_is_recorded_until_the_next_start(
    collector: Collector, traced: Tracing
) -> None:
    await traced.aclose()
    assert not traced.enabled
    assert BaseCallbackManager([]).handlers == []
    await two_steps(shelf(1)).ainvoke({"question": "lost"})

    again = start_tracing(SETTINGS, transport=collector.transport())
    await two_steps(shelf(1)).ainvoke({"question": "kept"})
    await again.aclose()

    assert attributes(collector.span("rag"))["input.value"].count("kept") == 1


async def test_a_hanging_phoenix_delays_neither_a_run_nor_the_shutdown(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_SEND_EVERY_MS", 1)
    collector.open.clear()
    tracing_now = start_tracing(SETTINGS, transport=collector.transport())
    graph = two_steps(shelf(1))

    await graph.ainvoke({"question": "first"})
    assert await asyncio.to_thread(collector.reached.wait, 10)
    result = await graph.ainvoke({"question": "second, while the first is being sent"})
    await tracing_now.aclose(timeout_s=0.1)

    assert result["found"] == 1
    assert collector.requests == []  # nothing has been answered, and all the same we are here


async def test_a_full_queue_drops_the_oldest(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"_SEND_EVERY_MS": 1, "_QUEUE_SIZE": 4, "_BATCH_SIZE": 1}.items():
        monkeypatch.setattr(tracing, name, value)
    collector.open.clear()
    tracing_now = start_tracing(SETTINGS, transport=collector.transport())
    await RunnableLambda(len, name="first").ainvoke([])
    assert await asyncio.to_thread(collector.reached.wait, 10)

    for n in range(20):
        await RunnableLambda(len, name=f"later {n}").ainvoke([])
    collector.open.set()
    await tracing_now.aclose()

    assert [s.name for s in collector.spans] == ["first", *(f"later {n}" for n in range(16, 20))]
    assert caplog.messages == []


@pytest.mark.parametrize("status", [200, 401])
async def test_no_api_key_reaches_a_span(
    collector: Collector, traced: Tracing, status: int
) -> None:
    from langchain_openai import ChatOpenAI
    from openai import AuthenticationError
    from pydantic import SecretStr

    reply = {"role": "assistant", "content": "hello"}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [{"index": 0, "message": reply, "finish_reason": "stop"}],
    }
    answers = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    async with httpx.AsyncClient(transport=answers) as client:
        model = ChatOpenAI(
            model="tiny",
            base_url="http://model/v1",
            api_key=SecretStr("sk-very-secret"),
            max_retries=0,
            http_async_client=client,
        )
        if status == 200:
            await model.ainvoke("hi")
        else:
            with pytest.raises(AuthenticationError):
                await model.ainvoke("hi")
    await traced.aclose()

    assert attributes(collector.span("ChatOpenAI"))["openinference.span.kind"] == "LLM"
    assert b"very-secret" not in collector.bodies
