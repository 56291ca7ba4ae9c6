import json
import logging
import os
from collections.abc import Iterator

import pytest

from api.http.log_writer import LogWriter, written_aside
from api.http.logs import JsonLines, TextLines


class Pipe:
    """A pipe as a program that gathers logs has it; read when it is told to."""

    def __init__(self) -> None:
        self.end, self.writer = os.pipe()

    def read(self) -> str:
        """What there is."""
        return os.read(self.end, 1 << 20).decode()

    def close(self) -> None:
        os.close(self.end)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    opened.close()


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("tandem", logging.WARNING, __file__, 1, message, (), None)


def test_lines_are_written_in_their_order_and_all_by_the_end(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writer, TextLines())
    for number in range(100):
        writer.handle(record(f"line {number}"))
    writer.close()
    assert pipe.read().splitlines() == [f"WARNING line {number}" for number in range(100)]


def test_nobody_waits_for_a_reader_who_reads_nothing(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writer, JsonLines(), most_waiting=10)
    written = 0
    for _ in range(300):  # more than a pipe and the queue hold
        writer.handle(record("x" * 1_000))
        written += 1
    lines = ""
    while "were lost" not in lines:
        lines += pipe.read()
        writer.handle(record("later"))
        written += 1
    writer.close()
    while accounted_for(lines) < written:
        lines += pipe.read()
    assert accounted_for(lines) == written
    assert sum(losses(lines)) > 200


def accounted_for(lines: str) -> int:
    """The lines that were written, and those that are told to be lost."""
    return len(lines.splitlines()) - len(losses(lines)) + sum(losses(lines))


def losses(lines: str) -> list[int]:
    """What is told to be lost, each time that it is told."""
    told = [json.loads(line)["message"] for line in lines.splitlines()]
    return [int(message.split()[0]) for message in told if "were lost" in message]


def test_a_reader_who_went_away_is_no_error(pipe: Pipe) -> None:
    os.close(pipe.end)
    writer = LogWriter(pipe.writer)
    writer.handle(record("nobody reads this"))
    writer.close()
    pipe.end = os.open(os.devnull, os.O_RDONLY)


def test_what_cannot_be_written_in_utf_8_is_written_all_the_same(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writer)
    writer.handle(record("a name \udcff of bytes"))
    writer.close()
    assert pipe.read() == "a name \\udcff of bytes\n"


def test_the_direct_handlers_come_back_at_the_end(pipe: Pipe) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    handler = logging.StreamHandler()
    root.addHandler(handler)
    try:
        with written_aside():
            assert handler not in root.handlers
            assert any(isinstance(each, LogWriter) for each in root.handlers)
        assert handler in root.handlers
        assert not any(isinstance(each, LogWriter) for each in root.handlers)
    finally:
        root.handlers = before
