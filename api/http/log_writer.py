"""Writes the log from a thread of its own, so that nobody who logs waits for whoever reads it.

A program that gathers logs may be slow, and one that hangs, or a terminal after Ctrl-S, reads
nothing and does not go away either: once the pipe is full, whoever writes a line stands still, and
a service with all its requests. Here lines wait in a bounded queue; what does not fit is lost, and
the log says so.
"""

import contextlib
import logging
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator

_MOST_WAITING = 5_000
_LAST_LINES_S = 1.0
"""For what is still waiting when the program ends."""


@contextlib.contextmanager
def written_aside() -> Iterator[None]:
    """For the time of the block, what the root's handlers write to standard error is handed on."""
    root = logging.getLogger()
    direct = [each for each in root.handlers if isinstance(each, logging.StreamHandler)]
    aside = [LogWriter(sys.stderr.fileno(), each.formatter) for each in direct]
    root.handlers = [*(each for each in root.handlers if each not in direct), *aside]
    try:
        yield
    finally:
        for each in aside:
            root.removeHandler(each)
            each.close()
        root.handlers.extend(direct)


class LogWriter(logging.Handler):
    """Formats where the line is logged, which knows the request, and writes elsewhere."""

    def __init__(
        self,
        descriptor: int,
        form: logging.Formatter | None = None,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        super().__init__()
        self.setFormatter(form)
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._lost = 0
        # A daemon: it may be standing still in the write that it was made for.
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Has the record written, or counts it as lost; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1
        except Exception:  # noqa: BLE001 - logging's own way with a record that cannot be formatted
            self.handleError(record)

    def close(self) -> None:
        """Writes what is waiting, if that can be done soon."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_LAST_LINES_S)
            self._thread.join(_LAST_LINES_S)
        super().close()

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            self._tell_of_loss()
            self._write(line)
        self._tell_of_loss()

    def _tell_of_loss(self) -> None:
        if lost := self._newly_lost():
            self._write(self.format(_loss(lost)))

    def _newly_lost(self) -> int:
        self.acquire()  # held around every ``emit``
        try:
            lost, self._lost = self._lost, 0
        finally:
            self.release()
        return lost

    def _write(self, line: str) -> None:
        left = f"{line}\n".encode(errors="backslashreplace")
        # Not through sys.stderr: the interpreter waits at its end for the lock of whoever writes.
        with contextlib.suppress(OSError):  # nobody reads any more
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:  # whoever opened it set it so
                    select.select([], [self._descriptor], [], 1.0)


def _loss(lost: int) -> logging.LogRecord:
    return logging.LogRecord(
        "tandem", logging.WARNING, __file__, 0,
        "%d lines of the log were lost here: they came faster than they were read.", (lost,), None,
    )  # fmt: skip
