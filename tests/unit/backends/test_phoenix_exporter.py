"""What becomes of spans while Phoenix is away, refuses, or has to hurry."""

import threading
from collections.abc import Callable

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from backends.phoenix.exporter import PhoenixExporter

SPAN = ReadableSpan(
    "retrieve", context=SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1))
)


class Replies:
    """Answers requests with the given statuses in turn, then with the last; None is a refusal."""

    def __init__(self, *statuses: int | None) -> None:
        self._statuses = list(statuses)
        self.asked = threading.Semaphore(0)
        self.count = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        self.asked.release()
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status is None:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(status)


def exporter(
    replies: Callable[[httpx.Request], httpx.Response], *, patience_s: float = 0.0
) -> PhoenixExporter:
    return PhoenixExporter(
        "http://127.0.0.1:6006",
        first_pause_s=0.001,
        patience_s=patience_s,
        transport=httpx.MockTransport(replies),
    )


@pytest.mark.parametrize("away", [None, 429, 503])
def test_a_batch_waits_until_phoenix_is_there(
    away: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    replies = Replies(away, away, away, 200)

    assert exporter(replies).export([SPAN]) is SpanExportResult.SUCCESS

    assert replies.count == 4
    absent, back = caplog.messages  # one warning, however often it was tried, and one notice
    assert "http://127.0.0.1:6006 does not answer" in absent
    assert "again" in back


def test_a_phoenix_that_is_still_starting_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    exporter(Replies(None, None, 200), patience_s=60).export([SPAN])

    assert caplog.messages == []


def test_a_refused_batch_is_dropped_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    replies = Replies(404)
    refused = exporter(replies)

    assert [refused.export([SPAN]), refused.export([SPAN])] == [SpanExportResult.FAILURE] * 2

    assert replies.count == 2
    (warning,) = caplog.messages
    assert "HTTP 404" in warning
    assert "TANDEM_PHOENIX__ENDPOINT" in warning


def test_hurrying_ends_the_wait_after_one_last_attempt() -> None:
    replies = Replies(None)
    waiting = PhoenixExporter(
        "http://127.0.0.1:6006", first_pause_s=3600, transport=httpx.MockTransport(replies)
    )
    results: list[SpanExportResult] = []
    thread = threading.Thread(target=lambda: results.append(waiting.export([SPAN])), daemon=True)
    thread.start()
    assert replies.asked.acquire(timeout=10)

    waiting.hurry(within_s=10)
    thread.join(10)

    assert results == [SpanExportResult.FAILURE]
    assert replies.count == 2


def test_after_the_deadline_nothing_is_sent() -> None:
    replies = Replies(200)
    late = exporter(replies)

    late.hurry(within_s=0)

    assert late.export([SPAN]) is SpanExportResult.FAILURE
    assert replies.count == 0
