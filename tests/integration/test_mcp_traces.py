"""Traces that begin in a client of MCP and continue in Tandem, and in the service behind it."""

import asyncio
import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from mcp.client import Client
from mcp.types import RequestParamsMeta
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.mcp_clients import bridge_command, over_http, over_stdio
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"
ARRIVED_WITHIN_S = 20.0
PARENT = "00f067aa0ba902b7"


class Collector:
    """Takes spans as Phoenix does, and knows those of each trace by name."""

    def __init__(self) -> None:
        self.traces: dict[str, dict[str, str]] = {}
        """By trace: the names of its spans, and the parent of each."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Nothing: it would be the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    names = self.traces.setdefault(span.trace_id.hex(), {})
                    names[span.name] = span.parent_span_id.hex()

    async def arrived(self, trace: str, name: str, under: str | None = None) -> None:
        """Waits for a span of that name, and for one below a given span; they come in batches."""
        deadline = time.monotonic() + ARRIVED_WITHIN_S
        while name not in (spans := self.traces.get(trace, {})) or (
            under is not None and under not in spans.values()
        ):
            assert time.monotonic() < deadline, self.traces
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("mcp-traces")
    root = write_corpus(folder / "vardholm")
    traced = {"TANDEM_PHOENIX__ENDPOINT": collector.url}
    with running_service(folder / "data", root, _free_port(), **traced) as running:
        yield running


async def ask(client: Client, **meta: str) -> None:
    given = cast(RequestParamsMeta, meta) if meta else None
    result = await client.call_tool("ask", {"question": QUESTION}, meta=given)
    assert not result.is_error


def parent(trace: str) -> dict[str, Any]:
    return {"traceparent": f"00-{trace}-{PARENT}-01"}


async def test_a_trace_in_the_headers_of_http_continues(
    service: RunningService, collector: Collector
) -> None:
    trace = "a" * 32
    async with over_http(service.url, **parent(trace)) as client:
        await ask(client)
    await collector.arrived(trace, "retrieve", under=PARENT)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_trace_in_the_meta_of_a_request_continues(
    service: RunningService, collector: Collector, era: str
) -> None:
    trace = ("b" if era == "auto" else "c") * 32
    async with over_http(service.url, era=era) as client:
        await ask(client, **parent(trace))
    await collector.arrived(trace, "retrieve", under=PARENT)


async def test_a_bridge_passes_the_trace_on_to_the_service(
    service: RunningService, collector: Collector
) -> None:
    trace = "d" * 32
    async with over_stdio(bridge_command(service.data_dir)) as client:
        await ask(client, **parent(trace))
    await collector.arrived(trace, "retrieve")


async def test_a_bridge_over_the_store_itself_records_the_trace(
    indexed: Path, collector: Collector
) -> None:
    trace = "e" * 32
    traced = bridge_command(indexed, TANDEM_PHOENIX__ENDPOINT=collector.url)
    async with over_stdio(traced) as client:
        await ask(client, **parent(trace))
    await collector.arrived(trace, "retrieve")
