"""What operators see of a running service: metrics, logs, readiness."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving_processes import model
from benchmarks.streaming_model import question
from tests.corpus import write_corpus
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"


@pytest.fixture
def service(tmp_path: Path, free_port: int) -> Iterator[RunningService]:
    root = write_corpus(tmp_path / "vardholm")
    with running_service(tmp_path / "data", root, free_port, TANDEM_LOG_FORMAT="json") as running:
        yield running


def samples(text: str) -> dict[tuple[str, ...], float]:
    """The measurements by name and the values of their labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_questions_show_in_the_metrics_and_in_the_log(service: RunningService) -> None:
    with service.client() as client:
        asked = client.post("/ask?key=secret", json={"question": QUESTION, "stream": False})
        output = asked.json()
        client.post("/ask", json={"question": QUESTION})
        client.post("/rag/invoke", json={"input": {"question": QUESTION}})
        client.post("/ask", json={"question": " "}, headers={"X-Request-ID": "mine"})
        for number in range(5):
            client.get(f"/nothing/{number}")
        assert client.get("/readyz").json()["ready"]
        scraped = client.get("/metrics")
    assert scraped.headers["content-type"].startswith("text/plain")
    measured = samples(scraped.text)

    assert measured["tandem_http_requests_total", "POST", "/ask", "200"] == 2
    assert measured["tandem_http_requests_total", "POST", "/ask", "400"] == 1
    assert measured["tandem_http_requests_total", "POST", "/rag/invoke", "200"] == 1
    assert measured["tandem_http_requests_total", "GET", "unmatched", "404"] == 5
    assert measured["tandem_runs_total", "answered"] == 3
    assert measured["tandem_first_token_seconds_count",] == 3
    assert measured["tandem_runs_in_progress",] == 0
    assert measured["tandem_backend_call_seconds_count", "vector_store"] == 3  # no probe's
    assert measured["tandem_backend_call_seconds_count", "embeddings"] == 3
    assert measured["tandem_index_documents",] == output["index"]["documents"] > 0
    assert measured["tandem_index_passages",] >= measured["tandem_index_documents",]
    assert measured["tandem_index_behind_seconds",] == 0

    service.process.send_signal(signal.SIGTERM)
    written = service.ended()
    lines = [json.loads(line) for line in written.splitlines()]  # nothing else is written
    assert f"Tandem is ready at {service.url}." in [line["message"] for line in lines]
    told = {line["request_id"]: line for line in lines if line["logger"] == "tandem.access"}
    first = told[asked.headers["X-Request-ID"]]
    assert (first["method"], first["path"], first["status"]) == ("POST", "/ask", 200)
    assert first["duration_ms"] > 0
    assert told["mine"]["status"] == 400
    assert "secret" not in written
    assert "Vardholm lighthouse?" not in written
    assert not [line for line in told.values() if line["path"] in ("/readyz", "/metrics")]


def test_a_run_of_the_language_model_can_be_followed_from_the_log_to_its_trace(
    tmp_path: Path, free_port: int
) -> None:
    root = write_corpus(tmp_path / "vardholm")
    with model() as url:
        settings = {
            "TANDEM_LLM__BASE_URLS": f"{url}/v1",
            "TANDEM_PHOENIX__ENDPOINT": url,  # takes spans, as Phoenix does
            "TANDEM_LOG_FORMAT": "json",
        }
        with running_service(tmp_path / "data", root, free_port, **settings) as service:
            with service.client() as client:
                asked = client.post("/ask", json={"question": question(40), "stream": False})
                measured = samples(client.get("/metrics").text)
            service.process.send_signal(signal.SIGTERM)
            written = service.ended()
    output = asked.json()
    assert measured["tandem_tokens_total", "output"] == output["usage"]["output_tokens"] >= 40
    assert measured["tandem_tokens_total", "input"] == output["usage"]["input_tokens"]
    graded = len([each for each in output["documents"] if each["relevance"] is not None])
    assert measured["tandem_grades_total", "yes"] == graded > 0
    assert measured["tandem_step_seconds_count", "generate"] == 1
    assert measured["tandem_backend_call_seconds_count", "language_model"] >= 2
    lines = [json.loads(line) for line in written.splitlines()]
    (line,) = [each for each in lines if each.get("path") == "/ask"]
    assert line["trace_id"] == output["trace_id"] != ""


def test_openmetrics_is_given_to_those_who_ask_for_it(service: RunningService) -> None:
    with service.client() as client:
        accept = "application/openmetrics-text; version=1.0.0"
        scraped = client.get("/metrics", headers={"Accept": accept})
    assert scraped.headers["content-type"].startswith("application/openmetrics-text")
    assert scraped.text.endswith("# EOF\n")


def test_commands_find_a_service_that_listens_on_all_addresses(
    tmp_path: Path, free_port: int
) -> None:
    root = write_corpus(tmp_path / "vardholm")
    everywhere = {"TANDEM_HOST": "0.0.0.0", "TANDEM_ALLOW_UNAUTHENTICATED": "true"}  # noqa: S104
    with running_service(tmp_path / "data", root, free_port, **everywhere) as service:
        status = service.tandem("status")
    assert status.returncode == 0, status.stderr
    assert service.url in status.stdout


def test_with_keys_metrics_need_one_and_the_log_names_it_and_never_shows_it(
    service: RunningService,
) -> None:
    made = service.tandem("keys", "create", "grafana", "--scopes", "read", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["key"]
    with service.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200  # probes need none
        named = {"Authorization": f"Bearer {key}"}
        assert client.get("/metrics", headers=named).status_code == 200
        assert client.get("/documents?shown=here", headers=named).status_code == 200
    service.process.send_signal(signal.SIGTERM)
    written = service.ended()
    lines = [json.loads(line) for line in written.splitlines()]
    callers = [line.get("caller") for line in lines if line.get("path") == "/documents"]
    assert callers[-1] == "grafana"
    assert key not in written
