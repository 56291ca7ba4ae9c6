"""A traced graph arrives in a real Phoenix."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langgraph.graph import END, START, StateGraph
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags
from typing_extensions import TypedDict

from backends.phoenix.exporter import PhoenixExporter
from backends.tracing import current_trace_id, record_documents, start_tracing
from settings import PhoenixSettings

pytestmark = pytest.mark.timeout(300)  # Phoenix takes 20 s to start, a minute on a busy machine


class State(TypedDict, total=False):
    question: str
    found: int
    trace_id: str | None


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        documents = [
            Document(f"{query} {n}", id=f"id-{n}", metadata={"score": n / 4}) for n in range(3)
        ]
        record_documents(run_manager.run_id, documents)
        return documents


async def retrieve(state: State) -> State:
    return {"found": len(await Shelf().ainvoke(state["question"]))}


async def generate(state: State) -> State:
    return {"trace_id": current_trace_id()}


async def spans_of(phoenix: str, project: str, *, at_least: int) -> dict[str, dict[str, Any]]:
    """The project's spans by name, once they have been written."""
    url = f"{phoenix}/v1/projects/{project}/spans"
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
        while True:
            response = await client.get(url, params={"limit": 100})
            spans = response.json()["data"] if response.is_success else []
            if len(spans) >= at_least:
                return {span["name"]: span for span in spans}
            await asyncio.sleep(0.1)


async def test_a_run_is_seen_with_its_steps_and_documents(phoenix: str) -> None:
    project = f"traces-{uuid4().hex}"
    tracing = start_tracing(PhoenixSettings(endpoint=phoenix, project=project))
    builder = StateGraph(State)
    builder.add_node("retrieve", retrieve)
    builder.add_node("generate", generate)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "generate")
    builder.add_edge("generate", END)
    try:
        result = await builder.compile(name="rag").ainvoke({"question": "why?"})
    finally:
        await tracing.aclose(timeout_s=10)

    spans = await spans_of(phoenix, project, at_least=4)

    assert set(spans) == {"rag", "retrieve", "Shelf", "generate"}
    assert {span["context"]["trace_id"] for span in spans.values()} == {result["trace_id"]}
    assert spans["Shelf"]["span_kind"] == "RETRIEVER"
    assert spans["Shelf"]["parent_id"] == spans["retrieve"]["context"]["span_id"]
    found = spans["Shelf"]["attributes"]
    assert found["retrieval.documents.2.document.id"] == "id-2"
    assert found["retrieval.documents.2.document.score"] == 0.5


async def test_no_proxy_sees_a_trace(phoenix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    exporter = PhoenixExporter(phoenix)
    exporter.hurry(within_s=10)
    context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1))
    span = ReadableSpan("direct", context=context, start_time=1, end_time=2)

    result = await asyncio.to_thread(exporter.export, [span])
    exporter.shutdown()

    assert result is SpanExportResult.SUCCESS
