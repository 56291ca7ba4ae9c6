"""The clients in the documents, run as they stand there against the documents themselves."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import _free_port
from tests.running_service import RunningService, running_service

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "http-api.md", ROOT / "docs" / "chat-clients.md"]
ADDRESS = "127.0.0.1:8000"
"""Where a service listens by default; here another may be in the way, so only this is changed."""
RUNNERS = {"bash": ["bash", "-eu"], "python": [sys.executable], "typescript": ["node"]}
ENDINGS = {"bash": ".sh", "python": ".py", "typescript": ".mjs"}

BLOCKS = [
    pytest.param(language, code, id=f"{page.stem}-{number}-{language}")
    for page in PAGES
    for number, (language, code) in enumerate(
        re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE), 1
    )
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("documented")
    with running_service(folder / "data", ROOT / "docs", _free_port()) as running:
        yield running


def test_there_are_clients_in_each_language() -> None:
    languages = [block.values[0] for block in BLOCKS]
    assert set(languages) == set(RUNNERS)
    assert languages.count("python") >= 3


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_a_documented_client_runs_as_it_stands(
    service: RunningService, tmp_path: Path, language: str, code: str
) -> None:
    runner = RUNNERS[language]
    if shutil.which(runner[0]) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {runner[0]}.")
        pytest.skip(f"There is no {runner[0]}.")
    program = tmp_path / f"client{ENDINGS[language]}"
    program.write_text(code.replace(ADDRESS, service.url.removeprefix("http://")))
    run = subprocess.run(  # noqa: S603 - our own documents
        [*runner, str(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Tandem" in run.stdout
    assert "docs/" in run.stdout or language == "python"
