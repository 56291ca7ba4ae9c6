"""Delivers spans to Phoenix over OTLP/HTTP. Imported only when tracing is on.

The stock exporter retries inside its own time-out, then drops the batch, logs every failure and
cannot be told to hurry. Here Phoenix may start after the service, go away and come back: spans
wait, one warning is logged, and a shutdown has a deadline.
"""

import logging
import threading
import time
from collections.abc import Sequence
from enum import Enum, auto

import httpx
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long Phoenix may be away before it is worth a warning: it takes 20 s to start."""
_ASK_AGAIN = frozenset({429, 502, 503, 504})
"""OTLP's retryable answers: https://opentelemetry.io/docs/specs/otlp/#failures-1."""


class _Outcome(Enum):
    TAKEN = auto()
    REFUSED = auto()
    AWAY = auto()


class PhoenixExporter(SpanExporter):
    """Runs in the batch processor's thread, so it may wait without a request noticing.

    While Phoenix is away the batch in hand is kept and tried again; behind it the processor's
    bounded queue drops its oldest spans.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float = 5.0,
        first_pause_s: float = 0.5,
        longest_pause_s: float = 5.0,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._url = f"{endpoint}/v1/traces"
        self._timeout_s = timeout_s
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._patience_s = patience_s
        # trust_env: traces hold documents and questions, so no proxy may see them.
        self._client = httpx.Client(trust_env=False, transport=transport)
        self._hurried = threading.Event()
        self._deadline = float("inf")
        self._away_since: float | None = None
        self._warned = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver one batch; returns only when it is taken, refused, or time is up."""
        body = encode_spans(spans).SerializeToString()
        pause_s = self._first_pause_s
        while (outcome := self._deliver(body)) is _Outcome.AWAY:
            if self._hurried.wait(pause_s):
                outcome = self._deliver(body)
                break
            pause_s = min(2 * pause_s, self._longest_pause_s)
        return SpanExportResult.SUCCESS if outcome is _Outcome.TAKEN else SpanExportResult.FAILURE

    def hurry(self, within_s: float) -> None:
        """From now on one attempt a batch, and none after ``within_s`` seconds."""
        self._deadline = time.monotonic() + within_s
        self._hurried.set()

    def shutdown(self) -> None:
        """Close the connection."""
        self._client.close()

    def _deliver(self, body: bytes) -> _Outcome:
        timeout_s = min(self._timeout_s, self._deadline - time.monotonic())
        if timeout_s <= 0:
            return _Outcome.AWAY
        try:
            response = self._client.post(
                self._url,
                content=body,
                headers={"Content-Type": "application/x-protobuf"},
                timeout=timeout_s,
            )
        except httpx.TransportError as exc:
            return self._away(type(exc).__name__)
        if response.status_code in _ASK_AGAIN:
            return self._away(f"HTTP {response.status_code}")
        if not response.is_success:
            return self._refused(response.status_code)
        return self._taken()

    def _away(self, reason: str) -> _Outcome:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since >= self._patience_s:
            self._warn(f"does not answer ({reason}); the newest traces wait, answers do not")
        return _Outcome.AWAY

    def _refused(self, status: int) -> _Outcome:
        self._warn(
            f"refuses traces (HTTP {status}) and they are lost; is TANDEM_PHOENIX__ENDPOINT right?"
        )
        return _Outcome.REFUSED

    def _taken(self) -> _Outcome:
        if self._warned:
            logger.warning("Phoenix at %s takes traces again.", self._endpoint)
        self._away_since = None
        self._warned = False
        return _Outcome.TAKEN

    def _warn(self, what: str) -> None:
        """One warning until Phoenix is back: its absence is no news a second time."""
        if not self._warned:
            logger.warning("Phoenix at %s %s.", self._endpoint, what)
        self._warned = True
