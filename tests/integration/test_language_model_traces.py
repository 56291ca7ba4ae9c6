"""What a trace shows of the language model's calls; only the network to Phoenix is replaced."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langchain_core.runnables import RunnableLambda
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from backends.language_model import LanguageModel
from backends.tracing import start_tracing
from errors import LanguageModelUnavailable
from nodes.reading import LanguageModelReader
from settings import LanguageModelSettings, PhoenixSettings
from tests.fakes import passage, spoken
from tests.language_model_server import DONE, Reply, batch, error, scripted, stream

FOUND = [passage("Bees fly."), passage("Ants carry.")]


@asynccontextmanager
async def traced(server_url: str) -> AsyncIterator[tuple[LanguageModelReader, list[Any]]]:
    """A reader on the server, and the spans of what it does, filled when the block ends."""
    requests: list[ExportTraceServiceRequest] = []

    def take(request: httpx.Request) -> httpx.Response:
        requests.append(ExportTraceServiceRequest.FromString(request.content))
        return httpx.Response(200)

    settings = PhoenixSettings(endpoint="http://127.0.0.1:6006", project="tests")
    tracing = start_tracing(settings, transport=httpx.MockTransport(take))
    model = LanguageModel(LanguageModelSettings(base_urls=[f"{server_url}/v1"]))
    spans: list[Any] = []
    try:
        yield LanguageModelReader(model), spans
    finally:
        await model.aclose()
        await tracing.aclose(timeout_s=10)
        spans += [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(spans: list[Any], name: str) -> dict[str, Any]:
    (span,) = [span for span in spans if span.name == name]
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
    }


async def graded(reader: LanguageModelReader) -> list[float | None]:
    """Grades as a node of a run does."""

    async def node(_: None) -> list[float | None]:
        return await reader.grade("Why?", FOUND)

    return await RunnableLambda(node).ainvoke(None)


async def test_grading_is_one_llm_span_with_its_prompt_its_grades_and_its_tokens() -> None:
    reply = batch("yes", "no", logprobs=[{"yes": -0.1, "no": -2.4}, {"no": -0.01, "yes": -5.0}])
    async with (
        scripted(v1_chat_completions_batch=[reply]) as server,
        traced(server.url) as (reader, spans),
    ):
        await graded(reader)
    seen = attributes(spans, "choose")
    assert seen["openinference.span.kind"] == "LLM"
    assert seen["llm.model_name"] == "tiny"
    assert (seen["llm.token_count.prompt"], seen["llm.token_count.completion"]) == (200, 2)
    prompt = "".join(
        seen[key]
        for key in sorted(seen)
        if key.startswith("llm.input_messages") and "content" in key
    )
    assert prompt.count("Bees fly.") == 1, "what the prompts share is shown once"
    assert "Document number" in prompt
    said = seen["llm.output_messages.0.message.content"]
    assert said.startswith("[1] yes (yes 0.909")
    assert "\n[2] no (yes 0.007" in said


async def test_an_answer_is_an_llm_span_with_its_text_and_its_tokens() -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 3}
    counted = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    async with (
        scripted(stream("Bees ", "fly [1].", end=[counted, DONE])) as server,
        traced(server.url) as (reader, spans),
    ):

        async def ask(_: None) -> str:
            return "".join(await spoken(reader.answer("Why?", FOUND)))

        assert await RunnableLambda(ask).ainvoke(None) == "Bees fly [1]."
    seen = attributes(spans, "answer")
    assert seen["llm.output_messages.0.message.content"] == "Bees fly [1]."
    assert (seen["llm.token_count.prompt"], seen["llm.token_count.completion"]) == (50, 3)


async def test_a_call_that_failed_is_a_span_with_the_reason() -> None:
    async with (
        scripted(error(400, "unknown field")) as server,
        traced(server.url) as (reader, spans),
    ):
        with pytest.raises(LanguageModelUnavailable):
            await graded(reader)
    (span,) = [span for span in spans if span.name == "choose"]
    assert "unknown field" in span.status.message


async def test_without_anybody_listening_nothing_is_recorded() -> None:
    plain: Reply = batch("yes", "no")
    async with scripted(v1_chat_completions_batch=[plain]) as server:
        model = LanguageModel(LanguageModelSettings(base_urls=[f"{server.url}/v1"]))
        assert await LanguageModelReader(model).grade("Why?", FOUND) == [1.0, 0.0]
        await model.aclose()
