"""Spans of every run, sent to Phoenix, never at a request's expense.

Requests only append to a bounded queue; one thread delivers. With an empty endpoint nothing is
imported, installed or recorded.

OpenTelemetry and openinference are imported inside the functions that need them: with tracing off
they cost nothing, and a command line has to start quickly.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from settings import PhoenixSettings

if TYPE_CHECKING:
    import httpx
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
    from opentelemetry.trace import Span

    from backends.phoenix.annotations import Annotations
    from backends.phoenix.exporter import PhoenixExporter

_QUEUE_SIZE = 2048
"""Spans that may wait: about 150 runs. A full queue drops its oldest."""
_BATCH_SIZE = 128
_SEND_EVERY_MS = 1000
_BETWEEN_NODES = ("__start__", "route_")
"""How LangGraph's step before the first node is called, and ours that choose the next one."""
_MAX_ATTRIBUTES = 10_000
"""OpenTelemetry's default of 128 would cut the documents of a wide search."""

_active: "Tracing | None" = None
"""LangChain is instrumented for a whole process, so there is at most one."""


class Tracing:
    """The tracing of this process, from ``start_tracing``. Whoever starts it, shuts it down."""

    def __init__(
        self,
        provider: "TracerProvider | None" = None,
        exporter: "PhoenixExporter | None" = None,
        annotations: "Annotations | None" = None,
    ) -> None:
        self._provider = provider
        self._exporter = exporter
        self._annotations = annotations

    @property
    def enabled(self) -> bool:
        """Whether runs are recorded."""
        return self._provider is not None

    def shutdown(self, timeout_s: float = 2.0) -> None:
        """Stop recording, and deliver what waits for at most ``timeout_s`` seconds. Blocks."""
        provider, exporter, annotations = self._provider, self._exporter, self._annotations
        if provider is None or exporter is None or annotations is None:
            return
        deadline = time.monotonic() + timeout_s
        self._provider = self._exporter = self._annotations = None
        _uninstrument()
        exporter.hurry(timeout_s)

        def deliver() -> None:
            provider.shutdown()
            annotations.close(deadline - time.monotonic())  # after their spans

        # The provider would wait 30 s for a peer that hangs; the process need not.
        thread = threading.Thread(target=deliver, name="tracing-shutdown", daemon=True)
        thread.start()
        thread.join(timeout_s)

    async def aclose(self, timeout_s: float = 2.0) -> None:
        """``shutdown`` without blocking the event loop."""
        await asyncio.to_thread(self.shutdown, timeout_s)


def start_tracing(
    settings: PhoenixSettings, *, transport: "httpx.BaseTransport | None" = None
) -> Tracing:
    """Record every LangChain and LangGraph run from now on; no I/O happens here.

    While tracing is on, another call returns the same ``Tracing`` and changes nothing.

    Args:
        settings: an empty endpoint gives a ``Tracing`` that is not enabled.
        transport: what carries the requests to Phoenix, for tests.
    """
    global _active
    if _active is not None:
        return _active
    if not settings.endpoint:
        return Tracing()

    from backends.phoenix.annotations import Annotations, use
    from backends.phoenix.exporter import PhoenixExporter

    exporter = PhoenixExporter(settings.endpoint, transport=transport)
    provider = _provider(settings.project, exporter)
    _instrument(provider)
    annotations = Annotations(settings.endpoint, transport=transport)
    use(annotations)
    _active = Tracing(provider, exporter, annotations)
    return _active


def listens(endpoint: str) -> bool:
    """Whether somebody is there: a command does not record traces for nobody. Blocks shortly."""
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), 0.2):
            return True
    except OSError:
        return False


def current_span() -> "Span | None":
    """The span of the running node, or of whatever else LangChain runs; None outside of one."""
    if _active is None:
        return None
    from openinference.instrumentation.langchain import get_current_span
    from opentelemetry import trace

    span = get_current_span() or trace.get_current_span()
    return span if span.get_span_context().is_valid else None


def current_trace_id() -> str | None:
    """The trace that the running node belongs to, 32 hexadecimal digits; None outside of one."""
    span = current_span()
    return None if span is None else f"{span.get_span_context().trace_id:032x}"


def untraced() -> contextlib.AbstractContextManager[object]:
    """What LangChain runs within the block is recorded in no trace."""
    if _active is None:
        return contextlib.nullcontext()
    from openinference.instrumentation import suppress_tracing

    return suppress_tracing()


def span_of(run_id: UUID) -> "Span | None":
    """The span of one of LangChain's runs; None with tracing off."""
    if _active is None:
        return None
    from openinference.instrumentation.langchain import LangChainInstrumentor

    return LangChainInstrumentor().get_span(run_id)


def root_span() -> "Span | None":
    """The span at the top of the running node's trace, as far as LangChain knows."""
    if _active is None:
        return None
    from openinference.instrumentation.langchain import get_ancestor_spans

    above = get_ancestor_spans()
    return above[-1] if above else current_span()


def _provider(project: str, exporter: "PhoenixExporter") -> "TracerProvider":
    """A provider of our own. Every argument is given, so that no OTEL_ variable changes it."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # It warns of a full queue again and again; the exporter has warned of the reason.
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
    provider = TracerProvider(
        resource=Resource({"service.name": "tandem", "openinference.project.name": project}),
        sampler=_sampler(),
        span_limits=SpanLimits(max_attributes=_MAX_ATTRIBUTES, max_span_attributes=_MAX_ATTRIBUTES),
        shutdown_on_exit=False,  # its exit hook would wait 30 s
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE_SIZE,
            schedule_delay_millis=_SEND_EVERY_MS,
            max_export_batch_size=_BATCH_SIZE,
            export_timeout_millis=1,  # required, and ignored by OpenTelemetry
        )
    )
    return provider


def _sampler() -> "Sampler":
    """Every span but those of LangGraph's own steps between the nodes.

    They hold the whole state once more and tell nothing that the next node's span does not.
    """
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

    class NodesAlone(Sampler):
        def should_sample(
            self,
            parent_context: "Context | None",
            trace_id: int,
            name: str,
            *others: Any,
            **more: Any,
        ) -> "SamplingResult":
            between = name.startswith(_BETWEEN_NODES)
            decided = ALWAYS_OFF if between else ALWAYS_ON
            return decided.should_sample(parent_context, trace_id, name, *others, **more)

        def get_description(self) -> str:
            return "NodesAlone"

    return NodesAlone()


def _instrument(provider: "TracerProvider") -> None:
    from langchain_core.callbacks import BaseCallbackManager
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=provider)
    # LangChain would hop to a thread of the event loop's shared pool for every event, each token
    # included: slower than the work itself, and a wait whenever that pool is busy.
    for handler in BaseCallbackManager([]).handlers:
        handler.run_inline = True


def _uninstrument() -> None:
    global _active
    from openinference.instrumentation.langchain import LangChainInstrumentor

    from backends.phoenix.annotations import use

    LangChainInstrumentor().uninstrument()
    use(None)
    _active = None
