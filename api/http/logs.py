"""How messages are written: as text for people, or as JSON for programs that gather them.

Every line that is written while a request is served says which one, so that what belongs together
can be found. Neither form ever holds a query string, a header or a body.
"""

import contextvars
import datetime
import json
import logging
from dataclasses import dataclass
from typing import Any, Literal

from backends.tracing import current_trace_id

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_PACKAGES = (
    "tandem", "api", "backends", "commands", "graph", "indexer", "nodes", "mcp_bridge",
)  # fmt: skip
"""Whose messages are ours."""
_GIVEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; whatever else one holds was given to it as ``extra``."""


@dataclass(slots=True)
class ServedRequest:
    """The request that is being served, for the lines that are written meanwhile."""

    id: str
    trace_id: str | None = None
    """Of the run that answered it, once that is known."""
    caller: str | None = None
    """The name of whoever sent it, once that is known."""


_served: contextvars.ContextVar[ServedRequest | None] = contextvars.ContextVar(
    "served_request", default=None
)


def serving(request: ServedRequest) -> None:
    """From now on this task, and those that it starts, serve this request."""
    _served.set(request)


def served_request() -> ServedRequest | None:
    """The request that is being served; None outside of one."""
    return _served.get()


def note_caller(name: str) -> None:
    """Whoever sent the request that is being served is known by this name."""
    if (request := _served.get()) is not None:
        request.caller = name


def request_id() -> str | None:
    """The id of the request that is being served, as its answer's ``X-Request-ID`` has it."""
    request = _served.get()
    return None if request is None else request.id


def set_up_logging(level: LogLevel, form: LogFormat) -> None:
    """Our own messages from the level on, libraries' warnings; all to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = level.upper() if level in ("debug", "error") else "WARNING"
    logging.basicConfig(level=root, handlers=[handler])
    for name in _PACKAGES:
        logging.getLogger(name).setLevel(level.upper())
    if form == "json":
        logging.captureWarnings(capture=True)


class TextLines(logging.Formatter):
    """A line for people: the level, the message, and the request that it belongs to."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without a traceback."""
        line = super().formatMessage(record)
        request = request_id()
        return line if request is None else f"{line} [{request}]"


class JsonLines(logging.Formatter):
    """One JSON object a line; the keys that are always there come first."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line; line breaks are escaped in it."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request = _served.get()
        if request is not None:
            line["request_id"] = request.id
            if request.caller is not None:
                line["caller"] = request.caller
        if trace_id := (request and request.trace_id) or current_trace_id():
            line["trace_id"] = trace_id
        line |= {name: value for name, value in vars(record).items() if name not in _GIVEN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII: whatever a message holds can be written
