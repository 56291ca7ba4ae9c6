"""``/metrics``: what the service did and how it does, for Prometheus.

Runs are measured at one place, from outside, by the events they send; requests and the calls of
backends by ``api.http.observing``. Every label takes few values, whatever clients send: routes are
templates, and no label names a question, a document, a thread or a caller.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header
from fastapi.responses import Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from api.http.logs import served_request
from api.security import requires
from api.service import Service
from api.workers.measuring import Summed
from backends.calls import Backend
from errors import Stopping, TandemError, TooBusy, UsageError
from graph.freshness import Freshness
from graph.step import Event

_STATE_TIMEOUT_S = 3.0
_CALL_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RUN_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
_UNKNOWN = float("nan")


class Metrics:
    """The measurements of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"tandem_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"tandem_{name}", what, registry=registry)

        def seconds(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                f"tandem_{name}_seconds", what, labels, buckets=buckets, registry=registry
            )

        self._requests = counter("http_requests", "Requests.", "method", "route", "status")
        self._request_s = seconds(
            "http_request", "Until a request was answered to its end.", _RUN_S, "method", "route"
        )
        self._runs = counter("runs", "Questions that were answered, or not.", "status")
        self._run_errors = counter(
            "run_errors", "Runs that ended in an error, by its code.", "code"
        )
        self._running = gauge("runs_in_progress", "Runs that have their turn.")
        self._waiting = gauge("runs_waiting", "Runs that wait for their turn.")
        self._run_s = seconds("run", "From a question to the end of its answer.", _RUN_S)
        self._first_token_s = seconds(
            "first_token", "From a question to the first words of its answer.", _RUN_S
        )
        self._step_s = seconds("step", "How long the steps of runs took.", _RUN_S, "step")
        self._tokens = counter("tokens", "Tokens of the language model, as it counts.", "kind")
        self._grades = counter("grades", "Passages that were graded.", "grade")
        self._rewrites = counter("rewrites", "Queries that were put in other words.")
        self._call_s = seconds(
            "backend_call", "Until a backend began to answer.", _CALL_S, "backend"
        )
        self._call_errors = counter(
            "backend_errors", "Calls that failed, by the error's code.", "backend", "code"
        )
        self._behind = gauge(
            "index_behind_seconds", "Age of the oldest change that is not in the index yet."
        )
        self._pending = gauge("index_pending_files", "Files that are known to be due.")
        self._documents = gauge("index_documents", "Files in the index.")
        self._passages = gauge("index_passages", "Passages in the index.")
        for status in ("answered", "not_found", "degraded", "failed", "refused", "left"):
            self._runs.labels(status)  # from 0 on, so that the first of a kind is seen as a change
        for grade in ("yes", "no", "unknown"):
            self._grades.labels(grade)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has been answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_s.labels(method, route).observe(seconds)

    def call(self, backend: Backend, seconds: float | None, error: TandemError | None) -> None:
        """A call of a backend has ended; see ``backends.calls``."""
        if seconds is not None:
            self._call_s.labels(backend).observe(seconds)
        if error is not None:
            self._call_errors.labels(backend, error.code).inc()

    async def run(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """The same events; the run that sends them is measured."""
        begun = time.perf_counter()
        waiting, status = True, "left"
        graded: set[str] = set()
        try:
            async with aclosing(events):
                async for event in events:
                    if event["event"] == "token":
                        if waiting:
                            waiting = False
                            self._first_token_s.observe(time.perf_counter() - begun)
                    elif event["event"] == "step":
                        self._step(event["data"], graded)
                    elif event["event"] == "done":
                        status = event["data"]["status"]
                        self._done(event["data"])
                    yield event
        except TandemError as exc:
            status = "refused" if isinstance(exc, TooBusy | Stopping | UsageError) else "failed"
            self._run_errors.labels(exc.code).inc()
            raise
        except Exception:
            status = "failed"
            self._run_errors.labels("internal_error").inc()
            raise
        finally:
            self._runs.labels(status).inc()
            self._run_s.observe(time.perf_counter() - begun)

    def _step(self, step: dict[str, Any], graded: set[str]) -> None:
        """A step of a run, when it has ended; ``graded`` are the passages known from before."""
        if step.get("state", "finished") != "finished":
            return
        name = step["step"]
        if "ms" in step:
            self._step_s.labels(name).observe(step["ms"] / 1000)
        if name == "grade_relevance":
            for grade in step.get("grades", []):
                if grade["id"] not in graded:
                    graded.add(grade["id"])
                    self._grades.labels(_in_a_word(grade)).inc()
        elif name == "rewrite_query" and step.get("queries"):
            self._rewrites.inc()

    def _done(self, output: dict[str, Any]) -> None:
        """The end of a run."""
        request, trace_id = served_request(), output.get("trace_id")
        if request is not None and trace_id:
            request.trace_id = trace_id
        for kind, tokens in output.get("usage", {}).items():
            self._tokens.labels(kind.removesuffix("_tokens")).inc(tokens)

    def load(self, running: int, waiting: int) -> None:
        """How many runs there are now."""
        self._running.set(running)
        self._waiting.set(waiting)

    def index(self, state: Freshness | None, passages: int | None) -> None:
        """How the index does now; None: not known."""
        behind = None if state is None else state["behind_s"]
        self._behind.set(_UNKNOWN if behind is None else behind)
        self._pending.set(_UNKNOWN if state is None else state["pending"])
        self._documents.set(_UNKNOWN if state is None else state["documents"])
        self._passages.set(_UNKNOWN if passages is None else passages)


def _in_a_word(grade: dict[str, Any]) -> str:
    if grade["relevance"] is None:
        return "unknown"
    return "yes" if grade["kept"] else "no"


T = TypeVar("T")


async def _in_time(ask: Callable[[], Awaitable[T]]) -> T | None:
    """What is asked for; None where it cannot be had now: a scrape must not wait or fail."""
    try:
        async with asyncio.timeout(_STATE_TIMEOUT_S):
            return await ask()
    except (TandemError, TimeoutError):
        return None


def _encoded(
    encoder: Callable[[Any], bytes], registry: CollectorRegistry, others: list[list[Metric]]
) -> bytes:
    return encoder(Summed(registry.collect(), others) if others else registry)


def metrics_router(service: Service, metrics: Metrics) -> APIRouter:
    """The router of ``/metrics``."""
    router = APIRouter(tags=["health"])
    reading = Depends(requires(service, "read"))

    @router.get("/metrics", dependencies=[reading], response_class=Response)
    async def exposition(accept: Annotated[str, Header()] = "") -> Response:
        """All measurements, in Prometheus' text format or OpenMetrics', as asked for."""
        state, passages = await asyncio.gather(
            _in_time(service.freshness), _in_time(lambda: service.backends.store.count())
        )
        metrics.index(state, passages)
        metrics.load(service.admission.running, service.admission.waiting)
        encoder, content_type = choose_encoder(accept)
        others = [] if service.others is None else await service.others.measurements()
        text = await asyncio.to_thread(_encoded, encoder, metrics.registry, others)
        return Response(text, media_type=content_type)

    return router
