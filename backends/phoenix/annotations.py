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
from enum import Enum, auto
from typing import Any, Literal

import httpx

logger = logging.getLogger(__name__)

Annotator = Literal["LLM", "CODE", "HUMAN"]
"""Who judged, in Phoenix's words."""

MAX_WAITING = 1000
"""Requests that may wait; beyond them annotations are dropped."""
PAUSES_S = (1.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before each attempt: together a minute, longer than Phoenix takes to start."""
_TOGETHER = 100
"""Requests that are due are sent as one: each costs a busy service a millisecond."""
_TIMEOUT_S = 5.0
_MAX_EXPLANATION = 2000
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_UNKNOWN = 404
"""Of a span that has not arrived; Phoenix then takes nothing of the request."""


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
    alone: bool = field(compare=False, default=False)
    """Whether it goes in a request of its own, because one with others was refused."""


class _Outcome(Enum):
    TAKEN = auto()
    UNKNOWN = auto()
    """A span of it has not arrived yet."""
    AWAY = auto()
    REFUSED = auto()


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
        while requests := self._next():
            self._deliver(requests)

    def _next(self) -> list[_Waiting]:
        """What is due for one path, once anything is, at once when all ends; empty: no more."""
        with self._changed:
            while not self._is_due():
                if self._ending:
                    return []
                pause = self._waiting[0].due - time.monotonic() if self._waiting else None
                self._changed.wait(pause)
            first = heapq.heappop(self._waiting)
            requests = [first]
            others: list[_Waiting] = []
            while not first.alone and len(requests) < _TOGETHER and self._is_due():
                request = heapq.heappop(self._waiting)
                fits = request.path == first.path and not request.alone
                (requests if fits else others).append(request)
            for request in others:
                heapq.heappush(self._waiting, request)
            return requests

    def _is_due(self) -> bool:
        return bool(self._waiting) and (self._ending or self._waiting[0].due <= time.monotonic())

    def _deliver(self, requests: Sequence[_Waiting]) -> None:
        """One attempt for all of them together, and what follows from its outcome for each."""
        outcome, what = self._send(
            requests[0].path, [each for request in requests for each in request.data]
        )
        if outcome is _Outcome.TAKEN:
            self._warned = False
            return
        if len(requests) > 1 and outcome in (_Outcome.UNKNOWN, _Outcome.REFUSED):
            # One of them is to blame, and Phoenix has taken none: from now on each goes alone.
            for request in requests:
                request.alone = True
                self._wait_again(request)
            return
        if outcome is _Outcome.REFUSED:
            self._warn(what)
            return
        for request in requests:
            request.attempts += 1
            if request.attempts < len(self._pauses_s):
                self._wait_again(request, self._pauses_s[request.attempts])
            elif outcome is _Outcome.AWAY:
                self._warn(what)
            else:  # that the span or trace never arrives is no fault of Phoenix
                logger.info("Phoenix at %s knows no such trace: %s", self._endpoint, request.data)

    def _wait_again(self, request: _Waiting, pause_s: float = 0.0) -> None:
        with self._changed:
            # At the end everything has one attempt, but for what was refused for another's sake.
            if len(self._waiting) < MAX_WAITING and (not self._ending or pause_s == 0):
                request.due = time.monotonic() + pause_s
                heapq.heappush(self._waiting, request)

    def _send(self, path: str, data: list[dict[str, Any]]) -> tuple[_Outcome, str]:
        """What Phoenix makes of it, and what it does in words for a warning."""
        timeout_s = min(_TIMEOUT_S, self._deadline - time.monotonic())
        if timeout_s <= 0:
            return _Outcome.TAKEN, ""  # no time is left to do anything about it
        try:
            response = self._client.post(
                f"{self._endpoint}/v1/{path}",
                # Else a missing span would be no error: Phoenix waits for it a few times itself.
                params={"sync": "false" if self._ending else "true"},
                json={"data": data},
                timeout=timeout_s,
            )
        except httpx.TransportError as exc:
            return _Outcome.AWAY, f"does not answer ({type(exc).__name__})"
        if response.is_success:
            return _Outcome.TAKEN, ""
        if response.status_code == _UNKNOWN:
            return _Outcome.UNKNOWN, ""
        if response.status_code in _PASSING:
            return _Outcome.AWAY, f"does not take annotations (HTTP {response.status_code})"
        return _Outcome.REFUSED, f"refuses annotations (HTTP {response.status_code})"

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
