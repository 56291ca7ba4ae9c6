"""What a command must come to, whatever went wrong: its exit code, its words, and nothing lost."""

import signal
import subprocess
import time
from pathlib import Path

from tests.running_service import TANDEM, environment, tandem

QUESTION = "Who built the Vardholm lighthouse?"
ANSWER = "Ottilie Brandt"
ENDED_WITHIN_S = 30.0

Run = subprocess.CompletedProcess[str]


def require(run: Run, code: int, *said: str) -> None:
    """The exit code, one message with these words, and no traceback."""
    output = run.stdout + run.stderr
    assert run.returncode == code, output
    assert "Traceback" not in output
    for words in said:
        assert words in run.stderr


def require_answer(data: Path, **settings: str) -> None:
    """Nothing was lost, and nothing else is said."""
    run = tandem("ask", QUESTION, data_dir=data, **settings)
    assert (run.returncode, run.stderr) == (0, "")
    assert ANSWER in run.stdout


def started(data: Path, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**settings),
    )


def interrupted(process: "subprocess.Popen[str]") -> tuple[int, str, float]:
    """The exit code after Ctrl-C, what was said, and how many seconds it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=ENDED_WITHIN_S)
    return process.returncode, errors, time.monotonic() - began
