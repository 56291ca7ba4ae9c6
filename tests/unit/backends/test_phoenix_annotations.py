"""Annotations through the real channel; only the network is replaced."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from backends.phoenix import annotations
from backends.phoenix.annotations import Annotation, Annotations, annotate, use

QUICK = (0.0, 0.01, 0.01)
GOOD = Annotation("relevance", 0.9, "kept", by="LLM")


class Phoenix:
    """Its side of the wire: answers with the given statuses, the last one again and again."""

    def __init__(self, *statuses: int | Exception) -> None:
        self.statuses = list(statuses) or [200]
        self.refuses: dict[str, int] = {}
        """The status of a request with a judgement on one of these spans."""
        self.taken: list[str] = []
        """The spans of those that were not refused so."""
        self.asked: queue.Queue[int] = queue.Queue()
        self.requests: list[tuple[str, dict[str, str], list[dict[str, Any]]]] = []
        self.answered: queue.Queue[int] = queue.Queue()
        self.open = threading.Event()
        self.open.set()

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._take)

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.asked.put(1)
        assert self.open.wait(30)
        data = json.loads(request.content)["data"]
        self.requests.append((request.url.path, dict(request.url.params), data))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        spans = [each.get("span_id", "") for each in data]
        status = next((self.refuses[span] for span in spans if span in self.refuses), status)
        self.taken += spans if status == 200 else []
        self.answered.put(1)
        if isinstance(status, Exception):
            raise status
        return httpx.Response(status)

    def wait(self, count: int) -> None:
        """Until so many requests more have been made."""
        for _ in range(count):
            self.answered.get(timeout=10)


@contextmanager
def channel(phoenix: Phoenix, pauses_s: tuple[float, ...] = QUICK) -> Iterator[Annotations]:
    opened = Annotations("http://phoenix", pauses_s=pauses_s, transport=phoenix.transport())
    use(opened)
    try:
        yield opened
    finally:
        use(None)
        opened.close(timeout_s=5)


def ended(opened: Annotations) -> None:
    """Wait until nothing waits any more."""
    deadline = time.monotonic() + 10
    while opened._waiting and time.monotonic() < deadline:
        time.sleep(0.001)


def test_each_kind_goes_to_its_place_in_phoenixs_own_words() -> None:
    phoenix = Phoenix(200)
    with channel(phoenix) as opened:
        opened.on_documents("ab", {0: GOOD, 2: Annotation("relevance", 0.1, by="CODE")})
        annotate(name="groundedness", span_id="cd", score=0.5, label="partly", by="LLM")
        annotate(name="feedback", trace_id="ef", label="down", explanation="no", identifier="me")
        phoenix.wait(3)
    documents, span, trace = phoenix.requests
    assert documents[:2] == ("/v1/document_annotations", {"sync": "true"})
    assert documents[2] == [
        {"span_id": "ab", "document_position": 0, "name": "relevance", "annotator_kind": "LLM",
         "result": {"score": 0.9, "label": "kept"}, "identifier": ""},
        {"span_id": "ab", "document_position": 2, "name": "relevance", "annotator_kind": "CODE",
         "result": {"score": 0.1}, "identifier": ""},
    ]  # fmt: skip
    assert (span[0], span[2][0]["span_id"]) == ("/v1/span_annotations", "cd")
    assert trace[0] == "/v1/trace_annotations"
    assert trace[2] == [
        {"trace_id": "ef", "name": "feedback", "annotator_kind": "HUMAN",
         "result": {"label": "down", "explanation": "no"}, "identifier": "me"}
    ]  # fmt: skip


@pytest.mark.parametrize("failure", [404, 503, httpx.ConnectError("refused")])
def test_what_may_pass_is_tried_again(
    failure: int | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    phoenix = Phoenix(failure, failure, 200)
    with channel(phoenix):
        annotate(name="feedback", span_id="ab", score=1)
        phoenix.wait(3)
    assert len(phoenix.requests) == 3
    assert caplog.messages == []


def test_a_trace_that_nobody_knows_is_given_up_quietly(caplog: pytest.LogCaptureFixture) -> None:
    phoenix = Phoenix(404)
    with caplog.at_level(logging.WARNING), channel(phoenix):
        annotate(name="feedback", trace_id="ab", score=1)
        phoenix.wait(len(QUICK))
    assert len(phoenix.requests) == len(QUICK)
    assert caplog.messages == []


@pytest.mark.parametrize("failure", [422, 401, 503, httpx.ConnectError("refused")])
def test_annotations_that_are_lost_are_worth_one_warning(
    failure: int | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 1 if failure in (422, 401) else len(QUICK)
    phoenix = Phoenix(failure)
    with channel(phoenix) as opened:
        for _ in range(5):
            opened.on_span("ab", GOOD)
            phoenix.wait(tries)
        ended(opened)
    assert len(phoenix.requests) == 5 * tries
    (warning,) = caplog.messages
    assert "Phoenix at http://phoenix" in warning
    assert "are lost" in warning


def test_what_is_due_at_the_same_time_goes_in_one_request() -> None:
    phoenix = Phoenix(200)
    with channel(phoenix, pauses_s=(60.0,)) as opened:
        for span in ("ab", "cd", "ef"):
            opened.on_span(span, GOOD)
            opened.on_documents(span, {0: GOOD})
    assert [(path, [each["span_id"] for each in data]) for path, _, data in phoenix.requests] == [
        ("/v1/span_annotations", ["ab", "cd", "ef"]),
        ("/v1/document_annotations", ["ab", "cd", "ef"]),
    ]


@pytest.mark.parametrize("status", [404, 422])
def test_what_is_refused_for_anothers_sake_is_taken_alone(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    phoenix = Phoenix()
    phoenix.refuses = {"unknown": status}
    phoenix.open.clear()
    with channel(phoenix) as opened:
        opened.on_span("first", GOOD)
        phoenix.asked.get(timeout=30)
        for span in ("ab", "unknown", "cd"):
            opened.on_span(span, GOOD)
        phoenix.open.set()
        phoenix.wait(2 + 2 + (len(QUICK) if status == 404 else 1))
    assert phoenix.taken == ["first", "ab", "cd"]
    assert len(caplog.messages) == (1 if status == 422 else 0)


def test_a_phoenix_that_hangs_holds_nobody_up_and_what_is_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(annotations, "MAX_WAITING", 3)
    phoenix = Phoenix(200)
    phoenix.open.clear()
    with channel(phoenix) as opened:
        opened.on_span("ab", GOOD)
        phoenix.asked.get(timeout=30)
        begun = time.monotonic()
        taken = [opened.on_span("ab", GOOD) for _ in range(10)]
        assert time.monotonic() - begun < 1
        phoenix.open.set()
    assert taken == [True] * 3 + [False] * 7


def test_at_the_end_what_waits_is_sent_at_once_and_left_to_phoenix_to_place() -> None:
    phoenix = Phoenix(200)
    with channel(phoenix, pauses_s=(60.0,)) as opened:
        opened.on_span("ab", GOOD)
        assert phoenix.requests == []
    ((_, parameters, _),) = phoenix.requests
    assert parameters == {"sync": "false"}
    assert opened.on_span("ab", GOOD) is False


def test_an_end_does_not_wait_for_a_phoenix_that_hangs() -> None:
    phoenix = Phoenix(200)
    phoenix.open.clear()
    opened = Annotations("http://phoenix", pauses_s=QUICK, transport=phoenix.transport())
    opened.on_span("ab", GOOD)
    begun = time.monotonic()
    opened.close(timeout_s=0.1)
    assert time.monotonic() - begun < 2
    phoenix.open.set()


def test_a_long_explanation_is_cut() -> None:
    phoenix = Phoenix(200)
    with channel(phoenix):
        annotate(name="feedback", span_id="ab", explanation="x" * 100_000)
        phoenix.wait(1)
    assert len(phoenix.requests[0][2][0]["result"]["explanation"]) == 2000


def test_with_tracing_off_nothing_is_taken() -> None:
    assert annotate(name="feedback", trace_id="ab", score=1) is False


@pytest.mark.parametrize("call", [lambda: annotate(name="feedback")])
def test_a_judgement_needs_something_that_it_is_about(call: Callable[[], bool]) -> None:
    with channel(Phoenix(200)), pytest.raises(ValueError, match="on a span or on a trace"):
        call()
