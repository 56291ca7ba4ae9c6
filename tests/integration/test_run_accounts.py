"""What a run's output says of its model, its tokens and its trace; the network is replaced."""

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers import BaseTracer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from backends.tracing import start_tracing
from graph.builder import RagGraph
from graph.context import RagContext
from graph.events import run_events
from graph.state import RagOutput
from settings import PhoenixSettings
from tests.language_model_graph import choices, graph_on
from tests.language_model_server import (
    DONE,
    HANG,
    Reply,
    batch,
    completion,
    lines,
    scripted,
    stream,
)

NOTHING = {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0}


async def answered(graph: RagGraph, question: str = "How fast do bees fly?") -> RagOutput:
    context = RagContext(verification="off")
    events = [event async for event in run_events(graph, question, context)]
    return cast(RagOutput, events[-1]["data"])


def counted(text: str, given: int, made: int, cached: int) -> Reply:
    """A stream that says at its end what it cost."""
    usage = {
        "prompt_tokens": given,
        "completion_tokens": made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    event = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    return stream(text, end=[event, DONE])


async def test_an_answer_names_its_model_and_what_all_of_the_runs_calls_cost() -> None:
    graded = batch("yes", "no")  # 200 tokens given, 2 made
    async with (
        scripted(
            counted("25 km/h [1].", 300, 9, 250), v1_chat_completions_batch=[graded]
        ) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        output = await answered(graph)
        again = await answered(graph)
    assert output["status"] == "answered"
    assert output["model"] == {"id": "tiny", "root": None}
    assert output["usage"] == {"input_tokens": 500, "output_tokens": 11, "cached_tokens": 250}
    assert again["usage"] == output["usage"], "each run is counted for itself"


async def test_runs_at_the_same_time_are_counted_apart() -> None:
    graded = batch("yes", "no")
    async with (
        scripted(counted("25 km/h [1].", 300, 9, 0), v1_chat_completions_batch=[graded]) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        outputs = await asyncio.gather(*(answered(graph, f"How fast, {n}?") for n in range(5)))
    assert [output["usage"]["input_tokens"] for output in outputs] == [500] * 5


async def test_choices_in_a_request_each_are_all_counted() -> None:
    (body,) = completion("yes").body
    usage = {"prompt_tokens": 40, "completion_tokens": 1}
    choice = Reply([json.dumps({**json.loads(body), "usage": usage}).encode()])
    async with (
        scripted(choice, choice, counted("25 km/h [1].", 300, 9, 0)) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        output = await answered(graph)
    assert output["usage"] == {"input_tokens": 380, "output_tokens": 11, "cached_tokens": 0}


async def test_a_server_that_counts_nothing_or_nonsense_costs_nothing() -> None:
    nonsense: dict[str, Any] = {
        "prompt_tokens": None,
        "completion_tokens": "many",
        "prompt_tokens_details": [],
    }
    event = b"data: " + json.dumps({"choices": [], "usage": nonsense}).encode() + b"\n\n"
    (body,) = batch("yes", "no").body
    uncounted = Reply([json.dumps({**json.loads(body), "usage": None}).encode()])
    async with (
        scripted(stream("Yes [1].", end=[event, DONE]), v1_chat_completions_batch=[uncounted]) as s,
        graph_on(f"{s.url}/v1") as graph,
    ):
        output = await answered(graph)
    assert (output["status"], output["usage"]) == ("answered", NOTHING)


async def test_where_extracts_answer_no_model_is_named() -> None:
    async with graph_on("http://127.0.0.1:9/v1") as graph:
        output = await answered(graph)
    assert (output["reader"], output["model"], output["usage"]) == ("extractive", None, NOTHING)


async def test_the_stock_client_counts_too() -> None:
    (body,) = completion("yes").body
    usage = {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}
    choice = Reply([json.dumps({**json.loads(body), "usage": usage}).encode()])
    async with (
        scripted(choice, choice, counted("25 km/h [1].", 300, 9, 0)) as server,
        graph_on(f"{server.url}/v1", provider="openai") as graph,
    ):
        output = await answered(graph)
    assert output["model"] == {"id": "tiny", "root": None}
    assert output["usage"] == {"input_tokens": 380, "output_tokens": 11, "cached_tokens": 0}


def ollama_says(text: str, given: int, made: int) -> list[dict[str, Any]]:
    message = {"model": "m", "message": {"role": "assistant", "content": text}, "done": False}
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": given, "eval_count": made}
    return [message, {**message, "message": {"role": "assistant", "content": ""}, **end}]


async def test_ollama_counts_too() -> None:
    _, end = ollama_says("", 40, 2)
    whole = {**end, "message": {"role": "assistant", "content": "yes"}}
    choice = Reply([json.dumps(whole).encode()])
    tags = {"models": [{"model": "m", "digest": "d1"}]}
    async with (
        scripted(
            choice, choice, lines(*ollama_says("25 km/h [1].", 300, 9)),
            path="/api/chat",
            api_tags=[Reply([json.dumps(tags).encode()])],
            api_show=[Reply([json.dumps({"model_info": {"x.context_length": 4096}}).encode()])],
        ) as server,
        graph_on(server.url, provider="ollama") as graph,
    ):  # fmt: skip
        output = await answered(graph)
    assert output["model"] == {"id": "m", "root": "d1"}
    assert output["usage"] == {"input_tokens": 380, "output_tokens": 13, "cached_tokens": 0}


class Listener(AsyncCallbackHandler):
    """Hears every token."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.heard.append(token)


class Recorder(BaseTracer):
    """Keeps runs as a tracer does."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.kept.append(run)


@pytest.mark.parametrize("listening", [True, False])
async def test_single_tokens_are_told_only_to_those_who_listen(listening: bool) -> None:
    listener, recorder = Listener(), Recorder()
    callbacks: Sequence[Any] = [recorder, listener] if listening else [recorder]
    config: RunnableConfig = {"callbacks": list(callbacks)}
    begun = stream("25", reason=None, end=[HANG])
    reply = replace(begun, resumed=stream(" km/h [1]."))
    async with (
        scripted(reply, v1_chat_completions_batch=[batch("yes", "no")]) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        told = graph.astream(
            {"question": "How fast?"},
            config,
            context=RagContext(verification="off"),
            stream_mode="custom",
        )
        async for event in told:
            if event["event"] == "token":
                server.released.set()  # only now the next one is written
    assert listener.heard == (["25", " km/h [1]."] if listening else [])
    (root,) = recorder.kept
    (generate,) = [run for run in root.child_runs if run.name == "generate"]
    (call,) = generate.child_runs
    tokens = [event for event in call.events if event["name"] == "new_token"]
    assert len(tokens) == (2 if listening else 1), "the first tells how long it took"
    assert call.outputs["generations"][0][0]["text"] == "25 km/h [1]."


class Phoenix:
    """What Phoenix gets while the tracing is on."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.annotations: list[dict[str, Any]] = []
        settings = PhoenixSettings(endpoint="http://127.0.0.1:6006", project="tests")
        self.tracing = start_tracing(settings, transport=httpx.MockTransport(self._take))

    def _take(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/traces":
            taken = ExportTraceServiceRequest.FromString(request.content)
            scopes = [scope for each in taken.resource_spans for scope in each.scope_spans]
            self.spans += [span for scope in scopes for span in scope.spans]
        else:
            self.annotations += json.loads(request.content)["data"]
        return httpx.Response(200)


@pytest.fixture
def phoenix() -> Iterator[Phoenix]:
    phoenix = Phoenix()
    yield phoenix
    phoenix.tracing.shutdown()


async def test_runs_at_the_same_time_each_name_their_own_trace(
    phoenix: Phoenix,
) -> None:
    async with (
        scripted(stream("25", " [1]."), v1_chat_completions_batch=[batch("yes", "no")]) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        questions = [f"How fast do bees fly, {n}?" for n in range(8)]
        outputs = await asyncio.gather(*(answered(graph, question) for question in questions))
    await phoenix.tracing.aclose(timeout_s=10)
    asked = {
        span.trace_id.hex(): item.value.string_value
        for span in phoenix.spans
        if not span.parent_span_id
        for item in span.attributes
        if item.key == "input.value"
    }
    assert {output["trace_id"]: output["question"] for output in outputs} == asked
    assert len(asked) == 8


async def test_grades_and_verdicts_are_annotations_of_the_run_that_made_them(
    phoenix: Phoenix,
) -> None:
    verdicts = [completion(w, {w: math.log(0.9)}) for w in ("yes", "no")]
    answer = stream("Bees fly at 25 km/h [1]. ", "They sing [1].")
    async with (
        scripted(answer, *verdicts, v1_chat_completions_batch=[choices(0.9, 0.1)]) as server,
        graph_on(f"{server.url}/v1") as graph,
    ):
        await graph.ainvoke({"question": "How fast do bees fly?"}, context=RagContext())
    await phoenix.tracing.aclose(timeout_s=10)

    spans = {span.name: span.span_id.hex() for span in phoenix.spans}
    *documents, whole = phoenix.annotations
    assert {each["span_id"] for each in documents} == {spans["PassageRetriever"]}
    told = [
        (d["document_position"], d["name"], d["result"], d["annotator_kind"]) for d in documents
    ]
    assert told == [
        (0, "relevance", {"score": pytest.approx(0.9), "label": "kept"}, "LLM"),
        (1, "relevance", {"score": pytest.approx(0.1), "label": "left out"}, "LLM"),
    ]
    (root,) = [span for span in phoenix.spans if not span.parent_span_id]
    assert whole["span_id"] == root.span_id.hex()
    assert (whole["name"], whole["annotator_kind"]) == ("groundedness", "LLM")
    assert whole["result"] == {
        "score": 0.5, "label": "partly", "explanation": "Not supported: They sing.",
    }  # fmt: skip


async def test_what_the_extractive_reader_judges_is_put_down_as_code(phoenix: Phoenix) -> None:
    async with graph_on("http://127.0.0.1:9/v1") as graph:
        await graph.ainvoke({"question": "How fast do bees fly?"}, context=RagContext())
    await phoenix.tracing.aclose(timeout_s=10)
    assert {each["annotator_kind"] for each in phoenix.annotations} == {"CODE"}
    assert {each["name"] for each in phoenix.annotations} == {"relevance", "groundedness"}
