"""Requests that cannot be answered: a 4xx with a reason in one shape, never a 500."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.outcomes import ANSWER, QUESTION
from tests.running_service import TANDEM, RunningService, await_indexed, environment

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that was to start Phoenix on a port that another program holds."""
    folder, port = tmp_path_factory.mktemp("bad-requests"), _free_port()
    root = write_corpus(folder / "vardholm")
    with socket.create_server(("127.0.0.1", 0)) as other, (folder / "said").open("w+") as said:
        endpoint = f"http://127.0.0.1:{other.getsockname()[1]}"
        process = subprocess.Popen(  # noqa: S603 - our own program
            [TANDEM, "--data-dir", str(folder / "data"), "serve", "--port", str(port), "--phoenix"],
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(TANDEM_ROOTS=str(root), TANDEM_PHOENIX__ENDPOINT=endpoint),
        )
        running = RunningService(f"http://127.0.0.1:{port}", folder / "data", process, said)
        try:
            await_indexed(running)
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


def require_error(answer: httpx.Response, status: int, said: str) -> None:
    """The status, and the one shape of errors with these words in its message."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) - {"field"} == {"code", "message", "request_id"}
    assert said in error["message"]


def question(path: str, value: str) -> str:
    """The body that asks, at each of the paths; ``value`` is JSON."""
    asked = f'{{"question": {value}}}'
    if path == "/rag/batch":
        return f'{{"inputs": [{asked}]}}'
    return f'{{"input": {asked}}}' if path.startswith("/rag") else asked


@pytest.mark.parametrize("path", ["/ask", "/rag/invoke", "/rag/batch", "/rag/stream"])
def test_a_body_that_is_no_question_is_refused_with_a_reason(
    service: RunningService, path: str
) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with service.client() as client:

        def refused(content: str | bytes, status: int, said: str, **headers: str) -> None:
            answer = client.post(path, content=content, headers={**JSON, **headers})
            require_error(answer, status, said)

        refused("{bad", 400, "not JSON")
        refused(b'{"question": "\xff"}', 400, "not JSON")
        refused(question(path, "NaN"), 400, "NaN")
        refused(question(path, deep), 400, "too deeply")
        refused(question(path, f'"{"x" * 10_000_000}"'), 413, "4,000,000 bytes")
        refused(question(path, '"Who?"'), 415, "application/json", **{"Content-Type": "text/plain"})
        refused(
            "question=Who", 415, "JSON", **{"Content-Type": "application/x-www-form-urlencoded"}
        )
        refused(question(path, '"\\ud800"'), 400, "half a character")
        for value in ("1", "null", "[]", '{"lc": 1, "id": ["os"], "kwargs": {}}'):
            refused(question(path, value), 422, "valid string")
        refused("[]", 422, "dictionary")


@pytest.mark.parametrize("path", ["/ask", "/rag/invoke", "/rag/batch"])
def test_a_question_of_nothing_but_nuls_is_empty_and_others_lose_them(
    service: RunningService, path: str
) -> None:
    with service.client() as client:
        empty = client.post(path, content=question(path, '" \\u0000"'), headers=JSON)
        asked = question(path, json.dumps(QUESTION.replace(" ", " \0")))
        answered = client.post(path, content=asked, headers=JSON)
    require_error(empty, 400, "The question is empty")
    assert answered.status_code == 200
    assert ANSWER in answered.text


@pytest.mark.parametrize(
    "given",
    [
        {"lc": 1, "type": "constructor", "id": ["langchain", "prompts"], "kwargs": {}},
        {"lc": 1, "type": "secret", "id": ["HOME"]},
        {"lc": 1, "type": "not_implemented", "id": ["os", "system"], "repr": "x"},
    ],
)
def test_serialized_objects_are_no_input(service: RunningService, given: object) -> None:
    with service.client() as client:
        require_error(client.post("/rag/invoke", json={"input": given}), 422, "question")
        require_error(client.post("/rag/invoke", json=given), 422, "input")


def test_what_comes_back_of_a_request_is_always_text(service: RunningService) -> None:
    with service.client() as client:
        odd = client.post("/ask", content='{"question": "a", "\\ud83d\\ude00": 1}', headers=JSON)
        half = client.post("/ask", content='{"question": "a", "\\ud800": 1}', headers=JSON)
    require_error(odd, 422, "😀: Extra inputs")
    require_error(half, 400, "half a character")


def test_unknown_places_and_methods_have_the_same_shape(service: RunningService) -> None:
    with service.client() as client:
        require_error(client.get("/nowhere"), 404, "Not Found")
        require_error(client.get("/rag/nowhere"), 404, "Not Found")
        refused = client.get("/ask")
    require_error(refused, 405, "Method Not Allowed")
    assert refused.headers["allow"] == "POST"


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(service: RunningService) -> None:
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    for request in (
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 35\r\n\r\n{"question": "Who built the lamp?"}',
    ):
        with socket.create_connection(address) as connection:
            connection.sendall(request)
    with service.client() as client:
        answer = client.post("/ask", json={"question": QUESTION, "stream": False})
    assert ANSWER in answer.json()["answer"]


def test_a_stream_that_fails_ends_whole(service: RunningService) -> None:
    with service.client() as client:
        answer = client.post("/rag/stream", json={"input": {"question": " "}})
    assert answer.status_code == 422 or "event: error" in answer.text


def test_a_port_taken_from_phoenix_is_said_and_nothing_else_is(service: RunningService) -> None:
    deadline = time.monotonic() + 30
    while (
        "Phoenix" not in service.written().partition("Ctrl-C.")[2] and time.monotonic() < deadline
    ):
        time.sleep(0.1)  # the file announces nothing
    said = service.written()
    assert "Phoenix cannot start: another program answers at" in said
    assert "TANDEM_PHOENIX__ENDPOINT" in said
    assert "Traceback" not in said
    assert "ERROR" not in said


LANGSERVE = [
    ("/rag/invoke", '{"input": {"question": "x"}, "config": null}', "config"),
    ("/rag/stream", '{"input": {"question": "x"}, "config": [1]}', "config"),
    ("/rag/batch", '{"inputs": null}', "inputs"),
    ("/rag/batch", '{"inputs": [{"question": "x"}], "config": []}', "config"),
    ("/rag/batch", '{"inputs": [' + ", ".join(['{"question": "x"}'] * 101) + "]}", "at most"),
    ("/chat/invoke", '{"input": {"messages": [{"type": "human", "content": [{}]}]}}', "text"),
    (
        "/chat/invoke",
        '{"input": {"messages": [{"type": "ai", "content": "", "tool_calls": [{"a": 1}]}]}}',
        "tools",
    ),
    ("/rag/invoke", '{"input": {"question": "x"}, "config": {"a": 99999999999999999999}}', "64"),
]


@pytest.mark.parametrize(("path", "body", "said"), LANGSERVE)
def test_what_langserve_would_break_on_is_refused_in_words(
    service: RunningService, path: str, body: str, said: str
) -> None:
    with service.client() as client:
        require_error(client.post(path, content=body, headers=JSON), 400, said)
