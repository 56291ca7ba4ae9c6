"""``/v1`` as the clients of OpenAI's API meet it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import SecretStr

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
FOLLOW_UP: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Answer like a pirate."},
    *ASKED,
    {"role": "assistant", "content": "Ottilie Brandt built it. [1]"},
    {"role": "user", "content": [{"type": "text", "text": "When was it built?"}]},
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("openai")
    root = write_corpus(folder / "vardholm")
    with running_service(folder / "data", root, _free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_the_one_model_is_listed_and_others_are_not_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tandem"]
    assert client.models.retrieve("tandem").owned_by == "tandem"
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-5'") as refused:
        client.models.retrieve("gpt-5")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="Ask for 'tandem'"):
        client.chat.completions.create(model="gpt-5", messages=ASKED)


def test_an_answer_is_a_completion_with_its_sources(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="tandem", messages=ASKED, temperature=0.2)
    assert (completion.object, completion.model) == ("chat.completion", "tandem")
    (choice,) = completion.choices
    assert choice.finish_reason == "stop"
    assert "Ottilie Brandt" in (choice.message.content or "")
    assert completion.usage is not None
    assert completion.usage.total_tokens == 0  # extracts: no language model was asked
    sources = completion.model_extra["sources"] if completion.model_extra else []
    assert sources[0]["source"]["name"] == "vardholm/lighthouse.md"
    assert "Ottilie Brandt" in sources[0]["document"][0]
    (about,) = sources[0]["metadata"]
    assert about["name"] == "[1] vardholm/lighthouse.md, lines 1-18: Vardholm lighthouse"
    assert about["cited"]


def test_a_stream_adds_up_to_the_answer_and_ends_with_sources_and_usage(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="tandem", messages=ASKED)
    stream = client.chat.completions.create(
        model="tandem", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert whole.model_extra
    assert last.model_extra
    assert last.model_extra["sources"] == whole.model_extra["sources"]
    assert usage.choices == []
    assert usage.usage is not None


def test_without_being_asked_a_stream_says_nothing_of_usage_and_ends_with_done(
    service: RunningService,
) -> None:
    body = {"model": "tandem", "messages": ASKED, "stream": True}
    with service.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    frames = response.text.removesuffix("\n\n").split("\n\n")
    assert frames[-1] == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1]]
    assert all(len(chunk["choices"]) == 1 and "usage" not in chunk for chunk in chunks)


def test_earlier_messages_are_the_conversation(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="tandem", messages=FOLLOW_UP)
    assert "1874" in (completion.choices[0].message.content or "")


def test_what_is_not_found_is_said_in_the_stream_too(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tandem",
        messages=[{"role": "user", "content": "Which antibiotic treats meningitis?"}],
        stream=True,
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "The indexed documents do not answer this question."


def test_langchains_client_invokes_streams_and_batches(service: RunningService) -> None:
    chat = ChatOpenAI(
        model="tandem", base_url=f"{service.url}/v1", api_key=SecretStr("unused"), stream_usage=True
    )
    answer = chat.invoke(QUESTION)
    assert "Ottilie Brandt" in answer.text
    assert answer.response_metadata["finish_reason"] == "stop"
    assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == answer.text
    said = [SystemMessage("Be brief."), HumanMessage(QUESTION), AIMessage(answer.text)]
    assert "1874" in chat.invoke([*said, HumanMessage("When was it built?")]).text

    async def several() -> list[Any]:
        return list(await chat.abatch([QUESTION] * 3))

    assert {reply.text for reply in asyncio.run(several())} == {answer.text}


def post(service: RunningService, **body: Any) -> httpx.Response:
    with service.client() as client:
        return client.post("/v1/chat/completions", json=body)


def require_openai_error(response: httpx.Response, status: int, said: str) -> None:
    """OpenAI's shape, and words that say what to do."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    assert said in error["message"]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
USER = {"role": "user", "content": QUESTION}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "messages: Field required"),
        ({"messages": []}, "at least 1"),
        ({"messages": [USER] * 10_000}, "at most 1000"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user"}]}, "The question is empty"),
        ({"messages": [{"role": "user", "content": " \0 "}]}, "The question is empty"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, "8,000 are allowed"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "Message 1 holds a part of type"),
        ({"messages": [USER, {"role": "assistant", "content": "a"}]}, "must be the user's"),
        ({"messages": [{"role": "system", "content": "a"}]}, "must be the user's"),
        ({"messages": [USER], "n": 2}, "n: Input should be 1"),
        ({"messages": [USER], "response_format": {"type": "json_object"}}, "'text'"),
        ({"messages": [USER], "metadata": {"lc": 1, "id": ["os"], "kwargs": {}}}, "metadata"),
        (
            {"messages": [USER], "metadata": {"a": {"lc": 1, "type": "secret", "id": []}}},
            "metadata",
        ),
        ({"messages": [USER], "stream": "perhaps"}, "stream"),
        ({"messages": "Who?"}, "messages: Input should be a valid list"),
        ([], "valid dictionary"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_openais_shape(
    service: RunningService, body: Any, said: str
) -> None:
    if isinstance(body, dict):
        body = {"model": "tandem", **body}
    with service.client() as client:
        require_openai_error(client.post("/v1/chat/completions", json=body), 400, said)


def test_errors_that_are_made_before_a_route_have_that_shape_too(service: RunningService) -> None:
    with service.client() as client:

        def send(content: str | bytes, kind: str = "application/json") -> httpx.Response:
            headers = {"Content-Type": kind}
            return client.post("/v1/chat/completions", content=content, headers=headers)

        require_openai_error(send("{bad"), 400, "not JSON")
        require_openai_error(send("[" * 100_000 + "]" * 100_000), 400, "too deeply")
        require_openai_error(send("{}", "text/plain"), 415, "application/json")
        require_openai_error(send(b"x" * 5_000_000), 413, "4,000,000 bytes")
        require_openai_error(client.get("/v1/nothing"), 404, "Not Found")
        require_openai_error(client.get("/v1/chat/completions"), 405, "Method Not Allowed")


def test_unknown_parameters_and_fields_of_messages_are_not_in_the_way(
    service: RunningService,
) -> None:
    message: dict[str, Any] = {
        **USER,
        "name": "ada",
        "tool_calls": None,
        "annotations": [{"deep": [[]]}],
    }
    response = post(
        service,
        model="tandem",
        messages=[message],
        tools=[],
        seed=1,
        max_tokens=5,
        anything={"a": 1},
    )
    assert response.status_code == 200, response.text
