"""What runs in the parser's own process: a path and a format in, a document out, as JSON lines."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.decoding import decode
from indexer.formats.source_code import parse_python


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


def _answer(path: Path, format_: str) -> dict[str, Any]:
    try:
        return _parse(path, format_)._asdict()
    except ParsingError as exc:
        return {"error": str(exc)}
    except OSError as exc:
        return {"error": f"it cannot be read: {exc.strerror or exc}"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except MemoryError:
        return {"error": "it needs more memory than a parser is given"}


def _parse(path: Path, format_: str) -> ParsedDocument:
    """Parsers are imported when they are needed: most take longer to load than to run."""
    if format_ == "python":
        return parse_python(decode(path.read_bytes()), name=path.stem)
    if format_ == "restructuredtext":
        from indexer.formats.restructured_text import parse_restructured_text

        return parse_restructured_text(decode(path.read_bytes()), name=path.stem)
    if format_ == "html":
        from indexer.formats.web_page import parse_web_page

        return parse_web_page(path.read_bytes(), name=path.stem)
    from indexer.formats.office import parse_office, parse_pdf

    return (parse_pdf if format_ == "pdf" else parse_office)(path)
