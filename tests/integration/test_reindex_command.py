"""``tandem reindex`` as a user meets it: through the running service, and without one."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import write_corpus
from tests.ollama_server import OllamaServer
from tests.outcomes import ANSWER, QUESTION, require, require_answer
from tests.running_service import RunningService, running_service, tandem

KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer(dimension=16) as server:
        yield server


def settings_of(server: OllamaServer) -> dict[str, str]:
    return {
        "TANDEM_EMBEDDINGS__PROVIDER": "ollama",
        "TANDEM_EMBEDDINGS__BASE_URL": server.url,
        "TANDEM_EMBEDDINGS__API_KEY": KEY,
    }


class Asking(threading.Thread):
    """Somebody who asks the service one question after the other, and keeps the answers."""

    def __init__(self, service: RunningService) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._enough = threading.Event()
        self.answers: list[Any] = []

    def __enter__(self) -> "Asking":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join(60)

    def run(self) -> None:
        with self._service.client() as client:
            while not self._enough.is_set():
                answer = client.post("/ask", json={"question": QUESTION, "stream": False})
                self.answers.append((answer.status_code, answer.json()))


def test_the_running_service_switches_to_the_model_of_the_command_and_back(
    tmp_path: Path, free_port: int, ollama: OllamaServer
) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    with running_service(data, root, free_port) as service:
        with service.client() as client:
            assert client.post("/reindex", json={}).status_code == 403
        with Asking(service) as somebody:
            run = tandem("reindex", "--json", data_dir=data, **settings_of(ollama))
        require(run, 0)
        assert json.loads(run.stdout)["added"] == 4
        assert {status for status, _ in somebody.answers} == {200}
        assert all(answer["documents"] for _, answer in somebody.answers)
        assert not any("keywords" in answer["notice"] for _, answer in somebody.answers)
        assert ollama.requests[-1][2]["Authorization"] == f"Bearer {KEY}"

        with service.client() as client:
            ready = client.get("/readyz").json()
        assert ready["backends"]["embeddings"]["ok"]
        again = tandem("reindex", data_dir=data, **settings_of(ollama))
        assert "nothing to do" in again.stdout

        (root / "bell.md").write_text("The fog bell of Vardholm weighs 640 kilograms.\n")
        back = service.tandem("reindex", "--rollback", "--json")
        require(back, 0)
        assert json.loads(back.stdout)["added"] == 1  # the old index is in line with the disk
        answer = service.tandem("ask", QUESTION)
        assert ANSWER in answer.stdout
        assert "keywords" not in answer.stdout
        pruned = service.tandem("reindex", "--prune")
        assert pruned.stdout == "removed: documents-2\n"
        gone = service.tandem("reindex", "--rollback")
        require(gone, 2, "nothing to go back to")
        service.process.terminate()
        said = service.ended()
    assert KEY not in said
    assert KEY not in run.stdout + run.stderr
    require_answer(data)


def test_without_a_service_it_reports_what_is_needed(tmp_path: Path, ollama: OllamaServer) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    require(tandem("index", str(root), data_dir=data), 0)
    run = tandem("reindex", data_dir=data, **settings_of(ollama))
    require(run, 0)
    assert "the index before is kept for --rollback" in run.stdout
    degraded = tandem("ask", "--json", QUESTION, data_dir=data)
    require(degraded, 0)
    output = json.loads(degraded.stdout)
    assert ANSWER in output["answer"]
    assert output["status"] == "degraded"
    assert "`tandem reindex`" in output["notice"]
    require(tandem("reindex", "--rollback", data_dir=data), 0)
    require_answer(data)


def test_an_embedding_server_that_is_down_ends_it_with_3_and_changes_nothing(
    tmp_path: Path, ollama: OllamaServer
) -> None:
    root, data = write_corpus(tmp_path / "vardholm"), tmp_path / "data"
    require(tandem("index", str(root), data_dir=data), 0)
    with OllamaServer(dimension=16) as server:
        gone = settings_of(server)
    require(tandem("reindex", data_dir=data, **gone), 3, "cannot be reached", "Is it running?")
    require_answer(data)
