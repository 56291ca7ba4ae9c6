"""A peer in a process of its own, in an environment of its own: JSON objects, one a line."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]


class Peer:
    """The other process; it answers one request at a time over its pipes.

    The script is run by the caller's Python, with the project's root on its path, so that it can
    use our embedder. It prints ``{"ready": true}`` first.
    """

    def __init__(self, python: Path, script: str, *arguments: str) -> None:
        self._script = script
        self._process = subprocess.Popen(  # noqa: S603 - the caller's own Python
            [str(python), str(Path(__file__).with_name(script)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )
        self.facts = self._read()
        """What it says of itself: the versions of what it runs, say."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process, for looking at its memory."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to a request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Let it come to its end."""
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self._script} ended: does its Python have what its docstring asks for?"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer
