"""A process of its own for the files whose parsers may crash, hang or take all memory.

It is started with the first file and kept for the next ones, because starting takes longer than
most files do. It is another Python that knows two things, a path and a format, and answers with
JSON: what a hostile file makes of it cannot reach further than that.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from errors import ParsingError
from indexer.documents import Block, ParsedDocument
from indexer.suffixes import Parser

TIMEOUT_S = 60.0
MEMORY_BYTES = 2_000_000_000
_CODE = str(Path(__file__).parents[1])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from indexer.parser_child import serve; "
    "serve(memory_bytes=int(sys.argv[2]), timeout_s=float(sys.argv[3]))"
)


class ParserProcess:
    """Parses files one at a time; threads that share it wait for each other.

    Args:
        timeout_s: for one file.
        memory_bytes: for the process's data, where the operating system can limit it.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True  # a thread that is still reading must not start another process
        self.close()

    def parse(self, path: Path, format_: Parser) -> ParsedDocument:
        """The document in a file.

        Raises:
            ParsingError: it cannot be read, or not within the limits.
        """
        with self._lock:
            process = self._started()
            request = json.dumps([os.fspath(path.absolute()), format_])
            timed_out = threading.Event()
            timer = threading.Timer(self._timeout_s, _kill, (process, timed_out))
            timer.start()
            try:
                answer = _exchange(process, request.encode() + b"\n")
            finally:
                timer.cancel()
            if answer is None:
                raise ParsingError(self._explain(timed_out.is_set()))
        return _document(answer)

    def close(self) -> None:
        """Ends the process; a later file starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            _close_pipes(process)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._ended:
            raise ParsingError("indexing was stopped")
        if self._process is None or self._process.poll() is not None:
            self.close()
            limits = [str(self._memory_bytes), str(self._timeout_s)]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                # -P: no file of the current folder may pose as a module.
                [sys.executable, "-P", "-c", _START, _CODE, *limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        process = self._process
        if self._ended:
            self.close()
            raise ParsingError("indexing was stopped")
        return process

    def _explain(self, timed_out: bool) -> str:
        if timed_out:
            self.close()
            return f"it could not be parsed within {self._timeout_s:g} s"
        code = self._process.wait() if self._process else 0
        self.close()
        limit = f"{self._memory_bytes / 1e9:g} GB"
        return (
            f"its parser stopped ({_status(code)}): it is damaged, or needs more than {limit} "
            "of memory"
        )


def _kill(process: subprocess.Popen[bytes], timed_out: threading.Event) -> None:
    timed_out.set()
    process.kill()


def _exchange(process: subprocess.Popen[bytes], request: bytes) -> dict[str, Any] | None:
    """The answer; None where the process has ended instead."""
    if process.stdin is None or process.stdout is None:
        return None
    try:
        process.stdin.write(request)
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:  # a broken pipe, or one closed by another thread
        return None
    if not line.endswith(b"\n"):
        return None
    answer: dict[str, Any] = json.loads(line)
    return answer


def _document(answer: dict[str, Any]) -> ParsedDocument:
    if "error" in answer:
        raise ParsingError(answer["error"])
    blocks = [
        Block(start, end, kind, tuple(path), *place)
        for start, end, kind, path, *place in answer["blocks"]
    ]
    return ParsedDocument(answer["title"], answer["text"], blocks, answer["format"])


def _status(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"
    except ValueError:
        return f"signal {-code}"


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    pipes: list[IO[bytes] | None] = [process.stdin, process.stdout]
    for pipe in pipes:
        if pipe is not None:
            with suppress(OSError):  # what was not written to a process that has ended
                pipe.close()
