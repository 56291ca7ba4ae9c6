"""The service as apps and people meet it: a real process, a real store, real embeddings."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langserve import RemoteRunnable

from tests.corpus import write_corpus
from tests.running_service import RunningService, running_service, tandem

QUESTION = "Who built the Vardholm lighthouse?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    from tests.integration.conftest import _free_port

    folder = tmp_path_factory.mktemp("service")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


def events_of(response: httpx.Response) -> list[tuple[str, object]]:
    """The server-sent events of a whole response."""
    events, name = [], ""
    for line in response.text.splitlines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            events.append((name, json.loads(value)))
    return events


def test_an_answer_cites_the_sentence_and_where_it_stands(service: RunningService) -> None:
    with service.client() as client:
        output = client.post("/ask", json={"question": QUESTION, "stream": False}).json()
    assert output["status"] == "answered"
    assert "Ottilie Brandt" in output["answer"]
    citation = next(c for c in output["citations"] if "Ottilie Brandt" in c["quote"])
    assert citation["source"] == "vardholm/lighthouse.md"
    assert citation["heading"].startswith("Vardholm lighthouse")
    assert (citation["start_line"], citation["end_line"]) == (5, 5)
    texts = {document["id"]: document["text"] for document in output["documents"]}
    assert all(c["quote"] in texts[c["id"]] for c in output["citations"])


def test_a_thread_is_a_conversation_and_the_next_question_may_refer_back(
    service: RunningService,
) -> None:
    with service.client() as client:
        for question, thread in ((QUESTION, "one"), ("When was it built?", "one")):
            body = {"question": question, "thread_id": thread, "stream": False}
            output = client.post("/ask", json=body).json()
        assert output["queries"][0] == "When was it built? Vardholm"
        assert "1874" in output["answer"]
        body = {"question": "When?", "thread_id": "../up", "stream": False}
        refused = client.post("/ask", json=body)
    assert refused.status_code == 422
    assert "thread_id" in refused.text
    continued = service.tandem("ask", "--thread", "one", "--json", "And by whom?")
    assert json.loads(continued.stdout)["queries"][0].startswith("And by whom? ")


def test_every_sentence_of_an_answer_gets_its_verdict(service: RunningService) -> None:
    with service.client() as client:
        events = events_of(client.post("/ask", json={"question": QUESTION}))
    verdicts = [data for name, data in events if name == "verdict"]
    (done,) = [data for name, data in events if name == "done"]
    assert isinstance(done, dict)
    assert verdicts == done["verdicts"] != []
    assert {verdict["supported"] for verdict in done["verdicts"]} == {True}


@pytest.mark.parametrize(
    ("filters", "status"),
    [
        ({"source": "vardholm/lighthouse.md"}, "answered"),
        ({"path": "vardholm", "type": "markdown", "since": "2000-01-01"}, "answered"),
        ({"path": "elsewhere"}, "not_found"),
        ({"since": "2100-01-01"}, "not_found"),
    ],
)
def test_filters_narrow_the_search(
    service: RunningService, filters: dict[str, Any], status: str
) -> None:
    with service.client() as client:
        body = {"question": QUESTION, "stream": False, "filters": filters}
        assert client.post("/ask", json=body).json()["status"] == status
    options = [f"--{name}={value}" for name, value in filters.items()]
    asked = service.tandem("ask", QUESTION, *options)
    assert asked.returncode == (0 if status == "answered" else 1), asked.stderr


def test_the_tenant_is_the_servers_to_choose(service: RunningService) -> None:
    with service.client() as client:
        body = {"question": QUESTION, "filters": {"tenant": "acme"}}
        refused = client.post("/ask", json=body)
    assert refused.status_code == 422
    assert "filters.tenant: Extra inputs" in refused.json()["error"]["message"]
    asked = service.tandem("ask", QUESTION, "--tenant=default")
    assert asked.returncode == 2
    assert "answers for its own tenant" in asked.stderr


def test_the_stream_ends_with_exactly_one_done(service: RunningService) -> None:
    with service.client() as client:
        response = client.post("/ask", json={"question": QUESTION})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response)
    names = [name for name, _ in events]
    assert names[-1] == "done"
    assert names.count("done") == 1
    assert {"step", "token", "citation"} <= set(names)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How much does a single ferry ticket cost?", "14 crowns"),
        ("When may the ferry not run because of wind?", "21 metres per second"),
        ("How many pairs of puffins nest on the cliffs?", "3,200"),
        ("How high is the tower of the lighthouse?", "41 metres"),
    ],
)
def test_questions_of_every_format_find_their_sentence(
    service: RunningService, question: str, expected: str
) -> None:
    with service.client() as client:
        output = client.post("/ask", json={"question": question, "stream": False}).json()
    assert expected in output["answer"]


def test_what_the_documents_do_not_say_is_not_found(service: RunningService) -> None:
    with service.client() as client:
        question = "Which antibiotic treats bacterial meningitis in children?"
        output = client.post("/ask", json={"question": question, "stream": False}).json()
    assert output["status"] == "not_found"
    assert output["citations"] == []


def test_langserve_invokes_batches_and_streams(service: RunningService) -> None:
    rag: RemoteRunnable[dict[str, str], dict[str, Any]] = RemoteRunnable(f"{service.url}/rag/")
    output = rag.invoke({"question": QUESTION})
    assert "Ottilie Brandt" in output["answer"]
    assert len(rag.batch([{"question": QUESTION}] * 2)) == 2
    pieces = list(rag.stream({"question": QUESTION}))
    assert "".join(piece.get("answer", "") for piece in pieces) == output["answer"]


def test_langserve_streams_logs_and_events(service: RunningService) -> None:
    with service.client() as client:
        for route in ("stream_log", "stream_events"):
            response = client.post(f"/rag/{route}", json={"input": {"question": QUESTION}})
            assert response.status_code == 200
            assert "Ottilie Brandt" in response.text
        assert client.get("/rag/playground/").status_code == 200
        schema = client.get("/rag/input_schema").json()
    assert "question" in schema["properties"]


@pytest.mark.parametrize("question", ["", "   ", "x" * 100_000])
def test_a_question_that_cannot_be_taken_is_a_clear_400_or_422(
    service: RunningService, question: str
) -> None:
    with service.client() as client:
        direct = client.post("/ask", json={"question": question})
        langserve = client.post("/rag/invoke", json={"input": {"question": question}})
    assert direct.status_code in {400, 422}
    assert direct.json()["error"]["message"]
    assert langserve.status_code in {400, 422}


def test_unknown_fields_and_wild_options_are_refused_by_name(service: RunningService) -> None:
    with service.client() as client:
        unknown = client.post("/ask", json={"question": "a", "tenant": "other"})
        wild = client.post("/ask", json={"question": "a", "options": {"k": 10_000}})
    assert unknown.status_code == 422
    assert "tenant" in unknown.json()["error"]["message"]
    assert wild.status_code == 422
    assert "options.k" in wild.json()["error"]["message"]


def test_a_forged_host_is_refused(service: RunningService) -> None:
    with service.client() as client:
        response = client.get("/documents", headers={"Host": "evil.example"})
    assert response.status_code == 400


def test_only_the_local_user_may_have_other_folders_indexed(service: RunningService) -> None:
    with service.client() as client:
        response = client.post("/documents/sync", json={"paths": ["/etc"]})
    assert response.status_code == 403
    assert "tandem index" in response.text


def test_it_is_alive_and_ready_and_says_how_each_backend_does(service: RunningService) -> None:
    with service.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
    assert ready.status_code == 200
    backends = ready.json()["backends"]
    assert backends["embeddings"]["ok"]
    assert backends["embeddings"]["model"] == "all-MiniLM-L6-v2"
    assert backends["embeddings"]["dimension"] == 384
    assert backends["vector_store"]["kind"] == "Qdrant Edge"
    assert backends["vector_store"]["points"] >= 4


def test_commands_go_through_the_running_server(service: RunningService, tmp_path: Path) -> None:
    answer = service.tandem("ask", QUESTION)
    assert answer.returncode == 0, answer.stderr
    assert "Ottilie Brandt" in answer.stdout
    assert "vardholm/lighthouse.md, line 5" in answer.stdout

    more = tmp_path / "more"
    more.mkdir()
    (more / "bell.md").write_text("# The bell\n\nThe fog bell of Vardholm weighs 640 kilograms.\n")
    index = service.tandem("index", str(more), "--json")
    assert index.returncode == 0, index.stderr
    assert json.loads(index.stdout)["added"] == 1
    answer = service.tandem("ask", "How heavy is the fog bell?", "--json")
    assert "640 kilograms" in json.loads(answer.stdout)["answer"]

    status = service.tandem("status")
    assert status.returncode == 0
    assert service.url in status.stdout
    assert service.tandem("ask", "Which antibiotic treats meningitis?").returncode == 1


def test_a_second_server_on_the_same_data_or_port_is_told_what_to_do(
    service: RunningService, free_port: int
) -> None:
    same_port = service.tandem("serve", "--port", service.url.rpartition(":")[2])
    assert same_port.returncode == 2
    assert "--port" in same_port.stderr
    same_data = service.tandem("serve", "--port", str(free_port))
    assert same_data.returncode == 3
    assert "Traceback" not in same_data.stderr


def test_it_stops_on_sigterm_and_leaves_nothing_behind(tmp_path: Path, free_port: int) -> None:
    root = write_corpus(tmp_path / "vardholm")
    with running_service(tmp_path / "data", root, free_port) as running:
        with running.client() as client:
            client.post("/ask", json={"question": QUESTION})
            client.post("/rag/invoke", json={"input": {"question": QUESTION}})
        running.process.send_signal(signal.SIGTERM)
        output = running.ended()
        assert running.process.returncode == 0
        assert "Warning" not in output  # what libraries say is not for the user's terminal
        assert not (tmp_path / "data" / "server.json").exists()
    answer = tandem("ask", QUESTION, data_dir=tmp_path / "data")
    assert "Ottilie Brandt" in answer.stdout, answer.stderr


def test_other_hosts_are_refused_while_there_is_no_authentication(tmp_path: Path) -> None:
    refused: subprocess.CompletedProcess[str] = tandem(
        "serve", "--host", "192.0.2.1", data_dir=tmp_path
    )
    assert refused.returncode == 2
    assert "TANDEM_ALLOW_UNAUTHENTICATED" in refused.stderr
