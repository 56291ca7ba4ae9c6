"""Judgements on traces, delivered to Phoenix in the background, never at a request's expense.

A judgement is made before its span has arrived: spans are delivered in batches, once they have
ended. So each annotation waits a little, and one whose span is not there yet is tried again a few
times. While Phoenix is away the same patience holds; then annotations are dropped, with one
warning. Phoenix's API: https://arize.com/docs/phoenix/sdk-api-reference/rest-api/overview.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

logger = logging.getLogger(__name__)

Annotator = Literal["LLM", "CODE", "HUMAN"]
"""Who judged, in Phoenix's words."""

MAX_WAITING = 1000
"""Requests that may wait; beyond them annotations are dropped."""
PAUSES_S = (1.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before each attempt: together a minute, longer than Phoenix takes to start."""
_TIMEOUT_S = 5.0
_MAX_EXPLANATION = 2000
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_UNKNOWN = 404
"""The span has not arrived yet; like what is passing, another attempt may change it."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One judgement."""

    name: str
    score: float | None = None
    label: str | None = None
    explanation: str | None = None
    by: Annotator = "HUMAN"
    identifier: str = ""
    """A second annotation of the same name and identifier replaces the first."""

    def on(self, **target: str | int) -> dict[str, Any]:
        """As Phoenix takes it, on a span, a trace or a document of a span."""
        explanation = self.explanation and self.explanation[:_MAX_EXPLANATION]
        result = {"score": self.score, "label": self.label, "explanation": explanation}
        return {
            **target,
            "name": self.name,
            "annotator_kind": self.by,
            "result": {key: value for key, value in result.items() if value is not None},
            "identifier": self.identifier,
        }


@dataclass(order=True, slots=True)
class _Waiting:
    """A request that is due at a time of ``time.monotonic``."""

    due: float
    number: int
    path: str = field(compare=False)
    data: list[dict[str, Any]] = field(compare=False)
    attempts: int = field(compare=False, default=0)


class Annotations:
    """The channel to the Phoenix at an endpoint. Its thread runs from the first annotation on."""

    def __init__(
        self,
        endpoint: str,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._pauses_s = pauses_s
        # trust_env: explanations quote answers, so no proxy may see them.
        self._client = httpx.Client(trust_env=False, transport=transport)
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._deadline = float("inf")
        self._warned = False

    def on_span(self, span_id: str, annotation: Annotation) -> bool:
        """Take a judgement on a span; False where too many wait already."""
        return self._put("span_annotations", [annotation.on(span_id=span_id)])

    def on_trace(self, trace_id: str, annotation: Annotation) -> bool:
        """Take a judgement on a whole trace; False where too many wait already."""
        return self._put("trace_annotations", [annotation.on(trace_id=trace_id)])

    def on_documents(self, span_id: str, judged: dict[int, Annotation]) -> bool:
        """Take judgements on documents of a RETRIEVER span, by their position in it."""
        data = [a.on(span_id=span_id, document_position=n) for n, a in judged.items()]
        return self._put("document_annotations", data)

    def close(self, timeout_s: float) -> None:
        """Try what waits once more, for at most ``timeout_s`` seconds. Blocks."""
        with self._changed:
            self._ending = True
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self._client.close()

    def _put(self, path: str, data: list[dict[str, Any]]) -> bool:
        with self._changed:
            if self._ending or len(self._waiting) >= MAX_WAITING:
                return False
            due = time.monotonic() + self._pauses_s[0]
            heapq.heappush(self._waiting, _Waiting(due, next(self._numbers), path, data))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._deliver_all, name="annotations", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return True

    def _deliver_all(self) -> None:
        while (request := self._next()) is not None:
            request.attempts += 1
            if self._deliver(request):
                continue
            if self._ending or request.attempts >= len(self._pauses_s):
                continue
            request.due = time.monotonic() + self._pauses_s[request.attempts]
            with self._changed:
                if len(self._waiting) < MAX_WAITING:
                    heapq.heappush(self._waiting, request)

    def _next(self) -> _Waiting | None:
        """The next request once it is due, at once when all ends; None: there will be no other."""
        with self._changed:
            while not (
                self._waiting and (self._ending or self._waiting[0].due <= time.monotonic())
            ):
                if self._ending:
                    return None
                pause = self._waiting[0].due - time.monotonic() if self._waiting else None
                self._changed.wait(pause)
            return heapq.heappop(self._waiting)

    def _deliver(self, request: _Waiting) -> bool:
        """Whether the request needs no other attempt."""
        timeout_s = min(_TIMEOUT_S, self._deadline - time.monotonic())
        if timeout_s <= 0:
            return True
        try:
            response = self._client.post(
                f"{self._endpoint}/v1/{request.path}",
                # Else a missing span would be no error: Phoenix waits for it a few times itself.
                params={"sync": "false" if self._ending else "true"},
                json={"data": request.data},
                timeout=timeout_s,
            )
        except httpx.TransportError as exc:
            return self._failed(request, f"does not answer ({type(exc).__name__})")
        if response.is_success:
            self._warned = False
            return True
        if response.status_code == _UNKNOWN:
            return self._unknown(request)
        if response.status_code in _PASSING:
            return self._failed(request, f"does not take annotations (HTTP {response.status_code})")
        self._warn(f"refuses annotations (HTTP {response.status_code})")
        return True

    def _failed(self, request: _Waiting, what: str) -> bool:
        if request.attempts >= len(self._pauses_s):
            self._warn(what)
        return False

    def _unknown(self, request: _Waiting) -> bool:
        """The span or trace has not arrived. That it never does is no fault of Phoenix."""
        if request.attempts >= len(self._pauses_s):
            logger.info("Phoenix at %s knows no such trace: %s", self._endpoint, request.data)
        return False

    def _warn(self, what: str) -> None:
        """One warning until an annotation is taken again."""
        if not self._warned:
            logger.warning("Phoenix at %s %s; they are lost.", self._endpoint, what)
        self._warned = True


_active: Annotations | None = None
"""Of the tracing that is on; ``backends.tracing`` sets it."""


def use(channel: Annotations | None) -> None:
    """Let ``annotate`` write to this channel from now on."""
    global _active
    _active = channel


def active() -> Annotations | None:
    """The channel of the tracing that is on; None with tracing off."""
    return _active


def annotate(
    *,
    name: str,
    trace_id: str | None = None,
    span_id: str | None = None,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    by: Annotator = "HUMAN",
    identifier: str = "",
) -> bool:
    """Put a judgement down on a span, or else on a trace, in the background.

    Returns whether it was taken: not with tracing off, and not while too many wait. Whether the
    trace is known to Phoenix nobody can tell at once. Ids are in hexadecimal digits.
    """
    if _active is None:
        return False
    annotation = Annotation(name, score, label, explanation, by, identifier)
    if span_id is not None:
        return _active.on_span(span_id, annotation)
    if trace_id is None:
        raise ValueError("a judgement is on a span or on a trace")
    return _active.on_trace(trace_id, annotation)
