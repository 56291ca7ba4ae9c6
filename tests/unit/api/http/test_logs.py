import contextvars
import json
import logging
import sys

import pytest

from api.http.logs import JsonLines, ServedRequest, TextLines, note_caller, serving


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("tandem").makeRecord(
        "tandem", logging.WARNING, "file.py", 1, message, args, None, extra=extra
    )
    assert isinstance(made, logging.LogRecord)
    return made


def within(request: ServedRequest, form: logging.Formatter, line: logging.LogRecord) -> str:
    """A line as it is written while the request is served."""

    def written() -> str:
        serving(request)
        return form.format(line)

    return contextvars.copy_context().run(written)


def test_a_line_of_text_tells_people_which_request_it_belongs_to() -> None:
    line = record("%s is down", "it")
    assert TextLines().format(line) == "WARNING it is down"
    assert within(ServedRequest("r1"), TextLines(), line) == "WARNING it is down [r1]"


def test_a_line_of_json_has_what_programs_look_for() -> None:
    line = record("%s is down", "it", status=503)
    told = json.loads(within(ServedRequest("r1", trace_id="ab" * 16), JsonLines(), line))
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "logger": "tandem",
        "message": "it is down",
        "request_id": "r1",
        "trace_id": "ab" * 16,
        "status": 503,
    }
    alone = json.loads(JsonLines().format(line))
    assert "request_id" not in alone
    assert "trace_id" not in alone


def test_a_line_of_json_names_the_caller_once_it_is_known() -> None:
    request = ServedRequest("r1")
    assert "caller" not in json.loads(within(request, JsonLines(), record("it")))

    def known() -> None:
        serving(request)
        note_caller("laptop")

    contextvars.copy_context().run(known)
    assert json.loads(within(request, JsonLines(), record("it")))["caller"] == "laptop"
    note_caller("nobody")  # outside of a request nothing happens
    assert request.caller == "laptop"


@pytest.mark.parametrize("message", ["two\nlines", 'a "quote"', "\x1b[31m", "\udce9", "Ærø"])
def test_whatever_a_message_holds_json_stays_one_line_that_can_be_read(message: str) -> None:
    line = JsonLines().format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == message
    assert line.isascii()  # a lone surrogate could not be written


def test_an_error_brings_its_traceback_along() -> None:
    line = record("it failed", missing=object)
    try:
        int("no number")
    except ValueError:
        line.exc_info = sys.exc_info()
    told = json.loads(JsonLines().format(line))
    assert "ValueError: invalid literal" in told["exception"]
    assert "object" in told["missing"]
