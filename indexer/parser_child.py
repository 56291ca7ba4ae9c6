"""What runs in the parser's own process: a path and a format in, a document out, as JSON lines."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from errors import ParsingError
from indexer.parsers import parse_as
from indexer.suffixes import Parser


def serve(*, memory_bytes: int, timeout_s: float) -> None:
    """Answers until the parent closes the pipe, which it also does by dying."""
    # A parser that prints must not garble the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_memory(memory_bytes)
    for line in sys.stdin.buffer:
        # The parent's own timer is first; this one is for a parent that is gone.
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, timeout_s + 5)
        path, format_ = json.loads(line)
        answers.write(json.dumps(_answer(Path(path), format_)).encode() + b"\n")
        answers.flush()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory(memory_bytes: int) -> None:
    if sys.platform == "win32":
        return  # no such limit there
    import resource

    # The data segment, not the address space: mapped libraries and files cost nothing.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(path: Path, format_: Parser) -> dict[str, Any]:
    try:
        return parse_as(path, format_)._asdict()
    except ParsingError as exc:
        return {"error": str(exc)}
    except OSError as exc:
        return {"error": f"it cannot be read: {exc.strerror or exc}"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except MemoryError:
        return {"error": "it needs more memory than a parser is given"}
