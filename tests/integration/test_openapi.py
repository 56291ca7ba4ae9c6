"""The OpenAPI document: it tells what is true, and nothing that it allows breaks the service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from api.ask_events import EVENTS
from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.running_service import RunningService, running_service

EXAMPLES = 12
"""Of each operation."""
TIMEOUT_S = 20.0
"""Of one request: an answer that takes longer is a failure."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("openapi")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.fixture
def document(service: RunningService) -> Any:
    """What the service says of itself, to be tried out."""
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


@pytest.mark.parametrize(
    "question", ["Who built the Vardholm lighthouse?", "Which antibiotic treats meningitis?", "  "]
)
def test_every_event_of_an_answer_is_as_the_document_says(
    service: RunningService, question: str
) -> None:
    with service.client() as client:
        response = client.post("/ask", json={"question": question})
        described = client.get("/openapi.json").json()
    if response.is_error:
        EVENTS["error"].validate_python(response.json()["error"])
        return
    told = set()
    for frame in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.removeprefix("event: ").split("\ndata: ")
        EVENTS[name].validate_python(json.loads(data), strict=True)
        told.add(name)
    assert {"step", "done"} <= told
    content = described["paths"]["/ask"]["post"]["responses"]["200"]["content"]
    items = content["text/event-stream"]["itemSchema"]["oneOf"]
    assert told <= {item["properties"]["event"]["const"] for item in items}
    assert "AskStepEvent" in described["components"]["schemas"]


@pytest.mark.timeout(300)
def test_nothing_that_the_document_allows_is_answered_with_500(document: Any) -> None:
    # Schemathesis' own way to parametrize tests does not know this version of pytest.
    operations = [result.ok() for result in document.get_all_operations()]
    assert {"/ask", "/v1/chat/completions", "/rag/invoke", "/chat/invoke", "/documents"} <= {
        operation.path for operation in operations
    }
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answered(case: Any) -> None:
            answer = case.call(timeout=TIMEOUT_S)
            # 503 says that a backend is away, as Phoenix is here.
            assert answer.status_code < 500 or answer.status_code == 503, case

        answered()
