"""A traced graph arrives in a real Phoenix."""

import asyncio
import math
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

from backends.phoenix.annotations import annotate
from backends.phoenix.exporter import PhoenixExporter
from backends.recording import record_documents
from backends.tracing import current_trace_id, start_tracing
from graph.context import RagContext
from settings import PhoenixSettings
from tests.language_model_graph import choices, graph_on
from tests.language_model_server import completion, scripted, stream

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


DOCUMENTS = """
query ($trace: ID!, $project: String!) {
  project: getProjectByName(name: $project) {
    trace(traceId: $trace) { spans(first: 100) { edges { node {
      name spanId documentEvaluations { name score label documentPosition annotatorKind }
    } } } }
  }
}
"""


async def annotated(phoenix: str, project: str, trace: str) -> dict[str, list[dict[str, Any]]]:
    """The judgements on a trace's documents and spans, once there are some of both kinds."""
    variables = {"trace": trace, "project": project}
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, base_url=phoenix) as client:
        while True:
            asked = {"query": DOCUMENTS, "variables": variables}
            found = (await client.post("/graphql", json=asked)).json()["data"]["project"]
            edges = found["trace"]["spans"]["edges"]
            spans = [edge["node"] for edge in edges]
            documents = [each for span in spans for each in span["documentEvaluations"]]
            path = f"/v1/projects/{project}/span_annotations"
            ids = {"span_ids": [span["spanId"] for span in spans]}
            on_spans = (await client.get(path, params=ids)).json()["data"] if spans else []
            if documents and len(on_spans) >= 2:
                return {"documents": documents, "spans": on_spans}
            await asyncio.sleep(0.1)


async def feedback_of(phoenix: str, project: str, trace: str) -> str:
    """The label of the judgement on a whole trace, once there is one."""
    url = f"{phoenix}/v1/projects/{project}/trace_annotations"
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while True:
            response = await client.get(url, params={"trace_ids": trace})
            if response.is_success and (found := response.json()["data"]):
                return str(found[0]["result"]["label"])
            await asyncio.sleep(0.1)


async def test_grades_verdicts_and_feedback_are_seen_beside_their_spans(phoenix: str) -> None:
    project = f"judgements-{uuid4().hex}"
    tracing = start_tracing(PhoenixSettings(endpoint=phoenix, project=project))
    verdicts = [completion(word, {word: math.log(0.9)}) for word in ("yes", "no")]
    answer = stream("Bees fly at 25 km/h [1]. ", "They sing [1].")
    try:
        async with (
            scripted(answer, *verdicts, v1_chat_completions_batch=[choices(0.9, 0.1)]) as server,
            graph_on(f"{server.url}/v1") as graph,
        ):
            output = await graph.ainvoke({"question": "How fast?"}, context=RagContext())
        spans = await spans_of(phoenix, project, at_least=6)
        (root,) = [span for span in spans.values() if span["parent_id"] is None]
        root_id = root["context"]["span_id"]
        assert annotate(name="feedback", span_id=root_id, score=1, label="up", identifier="me")
        assert annotate(name="feedback", trace_id=output["trace_id"], score=1, label="up")
        found = await annotated(phoenix, project, output["trace_id"])
    finally:
        await tracing.aclose(timeout_s=10)

    told = sorted((d["documentPosition"], d["name"], d["label"]) for d in found["documents"])
    assert told == [(0, "relevance", "kept"), (1, "relevance", "left out")]
    judged = {each["name"]: each for each in found["spans"]}
    assert judged["groundedness"]["result"]["score"] == 0.5
    assert "They sing." in judged["groundedness"]["result"]["explanation"]
    assert judged["groundedness"]["annotator_kind"] == "LLM"
    assert judged["feedback"]["annotator_kind"] == "HUMAN"
    assert {each["span_id"] for each in found["spans"]} == {root_id}
    assert await feedback_of(phoenix, project, output["trace_id"]) == "up"


async def test_a_run_that_ends_its_process_leaves_its_judgements(phoenix: str) -> None:
    project = f"judgements-{uuid4().hex}"
    tracing = start_tracing(PhoenixSettings(endpoint=phoenix, project=project))
    answer = stream("Bees fly at 25 km/h [1].")
    verdict = completion("yes", {"yes": math.log(0.9)})
    try:
        async with (
            scripted(answer, verdict, v1_chat_completions_batch=[choices(0.9, 0.1)]) as server,
            graph_on(f"{server.url}/v1") as graph,
        ):
            output = await graph.ainvoke({"question": "How fast?"}, context=RagContext())
            assert annotate(name="feedback", trace_id=output["trace_id"], label="up")
    finally:
        await tracing.aclose(timeout_s=10)  # at once, as a command does

    assert await feedback_of(phoenix, project, output["trace_id"]) == "up"
