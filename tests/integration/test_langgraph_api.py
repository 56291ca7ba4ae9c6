"""The LangGraph API server, as ``langgraph dev`` starts it for Studio, and its client."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph_sdk.schema import Input, StreamMode

from tests.running_api_server import CONFIG, LANGGRAPH, ApiServer, api_server, offline, stop
from tests.running_service import tandem

QUESTION = "Who built the Vardholm lighthouse?"
UNANSWERED = "Which antibiotic treats bacterial meningitis in children?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    from tests.integration.conftest import _free_port

    with api_server(
        tmp_path_factory.mktemp("langgraph"), _free_port(), TANDEM_TOP_K="3"
    ) as running:
        yield running


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    validated = subprocess.run(  # noqa: S603 - our own environment's program
        [LANGGRAPH, "validate", "--config", str(CONFIG)],
        cwd=tmp_path,
        env=offline(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert validated.returncode == 0, validated.stderr
    assert "1 graph found" in validated.stdout


def test_the_graph_is_offered_and_drawn_with_readable_nodes(server: ApiServer) -> None:
    (assistant,) = server.client.assistants.search()
    assert (assistant["graph_id"], assistant["name"]) == ("rag", "rag")
    drawn = server.client.assistants.get_graph(assistant["assistant_id"])
    assert [node["data"]["name"] for node in drawn["nodes"] if "data" in node] == [
        "__start__", "retrieve", "grade_relevance", "rewrite_query", "generate",
    ]  # fmt: skip
    edges = {
        (edge["source"], edge["target"]) for edge in cast(list[dict[str, str]], drawn["edges"])
    }
    assert ("rewrite_query", "retrieve") in edges
    assert ("grade_relevance", "generate") in edges


def test_the_form_asks_for_a_question_and_the_panel_shows_the_settings_as_defaults(
    server: ApiServer,
) -> None:
    (assistant,) = server.client.assistants.search()
    schemas = cast(dict[str, Any], server.client.assistants.get_schemas(assistant["assistant_id"]))
    assert list(schemas["input_schema"]["properties"]) == ["question", "messages"]
    knobs = schemas["context_schema"]["properties"]
    assert {name: knob["default"] for name, knob in knobs.items()} == {
        "top_k": 3, "max_rewrites": 2, "deadline_s": None, "verification": "annotate",
        "filters": None,
    }  # fmt: skip
    assert (knobs["top_k"]["minimum"], knobs["top_k"]["maximum"]) == (1, 50)
    assert all(knob["description"] for knob in knobs.values())


def test_a_run_gives_a_cited_answer(server: ApiServer) -> None:
    output = server.ask(QUESTION)
    assert output["status"] == "answered"
    assert "Ottilie Brandt" in output["answer"]
    citation = output["citations"][0]
    assert citation["source"] == "vardholm/lighthouse.md"
    texts = {document["id"]: document["text"] for document in output["documents"]}
    assert citation["quote"] in texts[citation["id"]]


def finished(parts: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """What the nodes of a run told when they had ended."""
    written = [data["data"] for event, data in parts if event == "custom"]
    return [told for told in written if told.get("state") == "finished"]


def test_a_run_streams_steps_tokens_updates_and_values(server: ApiServer) -> None:
    parts = server.stream(QUESTION, "updates", "messages-tuple", "custom", "values")
    written = [data for event, data in parts if event == "custom"]
    steps = [told["step"] for told in finished(parts)]
    verdicts = [told["data"] for told in written if told["event"] == "verdict"]
    assert {verdict["supported"] for verdict in verdicts} == {True}
    assert steps == ["retrieve", "grade_relevance", "generate"]
    updated = [name for event, data in parts if event == "updates" for name in data]
    assert updated == steps
    messages = [data for event, data in parts if event == "messages"]
    assert {about["langgraph_node"] for _, about in messages} == {"generate"}
    values = [data for event, data in parts if event == "values"]
    tokens = [told["data"]["text"] for told in written if told["event"] == "token"]
    assert "".join(piece["content"] for piece, _ in messages) == values[-1]["answer"]
    assert "".join(tokens) == values[-1]["answer"]


def test_what_the_panel_says_is_done_and_what_it_leaves_out_is_as_configured(
    server: ApiServer,
) -> None:
    parts = server.stream(UNANSWERED, "custom", "values", top_k=2, max_rewrites=0)
    steps = finished(parts)
    assert [step["step"] for step in steps] == ["retrieve", "grade_relevance", "generate"]
    assert steps[0]["found"] == 2
    assert parts[-1][1]["status"] == "not_found"

    assert finished(server.stream(QUESTION, "custom"))[0]["found"] == 3


def test_each_question_on_a_thread_is_searched_for_itself(server: ApiServer) -> None:
    thread = server.client.threads.create()["thread_id"]
    assert server.ask(UNANSWERED, thread)["status"] == "not_found"
    output = server.ask(QUESTION, thread)
    assert output["queries"] == [QUESTION]
    assert "Ottilie Brandt" in output["answer"]
    output = server.ask("How many pairs of puffins nest on the cliffs?", thread)
    assert "3,200" in output["answer"]
    assert {citation["source"] for citation in output["citations"]} == {"vardholm/birds.html"}


def test_the_state_between_the_nodes_can_be_read(server: ApiServer) -> None:
    thread = server.client.threads.create()["thread_id"]
    server.ask(QUESTION, thread)
    history = server.client.threads.get_history(thread)
    graded = next(state for state in history if state["next"] == ["generate"])
    values = cast(dict[str, Any], graded["values"])
    assert len(values["candidates"]) == 3
    assert set(values["grades"]) == {passage["id"] for passage in values["candidates"]}


def chat(server: ApiServer, thread: str, text: str, *modes: StreamMode) -> list[tuple[str, Any]]:
    """What a run streams that is asked as Studio's chat asks."""
    parts = server.client.runs.stream(
        thread,
        "rag",
        input=cast(Input, {"messages": [{"role": "user", "content": text}]}),
        stream_mode=list(modes),
    )
    return [(part.event, part.data) for part in parts]


def test_a_chat_is_a_thread_of_messages_whose_answers_bring_their_citations(
    server: ApiServer,
) -> None:
    thread = server.client.threads.create()["thread_id"]
    parts = chat(server, thread, QUESTION, "messages-tuple", "updates", "custom", "values")
    pieces = [data[0]["content"] for event, data in parts if event == "messages"]
    values = [data for event, data in parts if event == "values"]
    human, answer = values[-1]["messages"]
    assert (human["type"], human["content"]) == ("human", QUESTION)
    assert answer["type"] == "ai"
    assert answer["content"] == values[-1]["answer"] == "".join(pieces)
    (cited, *_) = answer["additional_kwargs"]["citations"]
    assert cited["source"] == "vardholm/lighthouse.md"
    parts = chat(server, thread, "When was it built?", "values")
    assert "1874" in parts[-1][1]["messages"][-1]["content"]
    assert len(parts[-1][1]["messages"]) == 4


def test_a_client_that_keeps_the_conversation_sends_it_whole(server: ApiServer) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "human", "content": QUESTION},
        {"type": "ai", "content": "Ottilie Brandt. [1]"},
        {"type": "human", "content": [{"type": "text", "text": "When was it built?"}]},
    ]

    def ask(*messages: dict[str, Any]) -> dict[str, Any]:
        given = cast(Input, {"messages": list(messages)})
        return cast(dict[str, Any], server.client.runs.wait(None, "rag", input=given))

    assert ask(*messages)["queries"] == ["When was it built? Vardholm"]
    with pytest.raises(Exception, match="last message must be the user's"):
        ask(*messages[:2])


def test_an_assistant_keeps_its_own_context(server: ApiServer) -> None:
    assistants = server.client.assistants
    narrow = assistants.create("rag", context={"top_k": 1}, name="narrow")["assistant_id"]

    def found() -> list[int]:
        given = {"question": QUESTION}
        parts = server.client.runs.stream(None, narrow, input=given, stream_mode=["custom"])
        told = [part.data["data"] for part in parts if part.event == "custom"]
        return [data["found"] for data in told if "found" in data]

    try:
        assert found() == [1]
        assistants.update(narrow, context={"top_k": 3})
        assert found() == [3]
    finally:
        assistants.delete(narrow)


@pytest.mark.parametrize(
    ("question", "knobs", "message"),
    [
        ("  ", {}, "The question is empty"),
        ("x" * 100_000, {}, "8,000 are allowed"),
        (None, {}, "The question must be text"),
        (QUESTION, {"top_k": 1000}, "top_k"),
    ],
)
def test_what_cannot_be_done_is_told_to_the_client(
    server: ApiServer, question: object, knobs: dict[str, object], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        server.ask(question, None, **knobs)


def test_runs_at_once_share_one_store_and_block_nothing(server: ApiServer) -> None:
    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(server.ask, [QUESTION] * 4))
    assert {output["status"] for output in outputs} == {"answered"}
    lock = server.data_dir / "qdrant" / "documents-1" / "lock"
    handles = [
        handle
        for handle in Path(f"/proc/{server.process.pid}/fd").iterdir()
        if handle.exists() and handle.samefile(lock)
    ]
    assert len(handles) == 1
    # What a blocking call in the event loop raises in the development server.
    assert "BlockingError" not in server.log.read_text()


def test_the_store_is_held_while_it_runs_and_free_afterwards(
    tmp_path: Path, free_port: int
) -> None:
    with api_server(tmp_path, free_port) as running:
        refused = tandem("ask", QUESTION, data_dir=running.data_dir)
        assert refused.returncode == 3
        assert "Another process holds the embedded store" in refused.stderr
        stop(running.process)
        assert "Traceback" not in running.log.read_text()
        answer = tandem("ask", QUESTION, data_dir=running.data_dir)
    assert answer.returncode == 0, answer.stderr
    assert "Ottilie Brandt" in answer.stdout
