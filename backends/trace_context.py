"""Traces that continue across processes: W3C Trace Context, https://www.w3.org/TR/trace-context/.

OpenTelemetry is imported where somebody traces, and not otherwise: a command has to start quickly.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping


def traceparent() -> dict[str, str]:
    """The headers by which a server continues the trace of this call; empty outside of one."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers


@contextlib.contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """What runs within the block belongs to the trace that a caller's headers name, if any."""
    if "traceparent" not in headers:
        yield
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token = context.attach(TraceContextTextMapPropagator().extract(headers))
    try:
        yield
    finally:
        context.detach(token)
