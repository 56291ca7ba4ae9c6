"""``/v1`` before the requests that Open WebUI 0.12 was seen to send; it itself: test-openwebui."""

import json
from collections import deque
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission import Admission
from api.service import Service, open_service
from server import create_app
from settings import LanguageModelSettings, Settings
from tests.corpus import write_corpus
from tests.language_model_server import ScriptedServer, batch, completion, error, scripted, stream

QUESTION = "How high is the Vardholm lighthouse?"
CHAT, BATCH = "/v1/chat/completions", "/v1/chat/completions/batch"
YES = completion("yes", {"yes": -0.05, "no": -3.0})
HISTORY = f"<chat_history>\nUSER: {QUESTION}\nASSISTANT: 41 metres [1].\n</chat_history>"
CHORES = {
    "title": f'### Task:\nName the chat.\n### Output:\nJSON format: {{ "title": "…" }}\n{HISTORY}',
    "tags": f"### Task:\nFind 1-3 broad tags.\n\n### Chat History:\n{HISTORY}",
    "follow-ups": f"### Task:\nPredict 3-5 messages.\n### Chat History:\n{HISTORY}",
    "queries": f"### Task:\nAre search queries needed?\n\n### Chat History:\n{HISTORY}\n",
    "completion": f"### Task:\nContinue the text in `<text>`.\n{HISTORY}\n<text>How</text>  \n",
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_timestamp",
        "description": "Get the time.",
        "parameters": {"properties": {}, "type": "object"},
    },
}
"""Open WebUI offers its own tools with every question."""


@pytest.fixture
async def model() -> AsyncIterator[ScriptedServer]:
    async with scripted(YES, max_model_len=8192) as model:
        yield model


@pytest.fixture
async def service(tmp_path: Path, model: ScriptedServer) -> AsyncIterator[Service]:
    root = write_corpus(tmp_path / "vardholm")
    settings = Settings(
        data_dir=tmp_path / "data",
        roots=[root],
        llm=LanguageModelSettings(base_urls=[f"{model.url}/v1"]),
        _env_file=None,
    )
    async with open_service(settings) as service:
        await service.indexing.run([root])
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(service)),
        base_url="http://127.0.0.1",
        headers={"Authorization": "Bearer none", "User-Agent": "Python/3.11 aiohttp/3.14.5"},
    ) as client:
        yield client


def says(model: ScriptedServer, *pieces: str) -> None:
    model.replies[BATCH] = deque([batch("yes", "yes", "no", "no"), batch(*["yes"] * 6)])
    model.replies[CHAT] = deque([stream(*pieces), YES])


async def asked(client: httpx.AsyncClient, *messages: tuple[str, str]) -> list[dict[str, Any]]:
    """The chunks of an answer to a question as Open WebUI asks it."""
    response = await client.post(
        CHAT,
        json={
            "stream": True,
            "model": "tandem",
            "messages": [{"role": role, "content": content} for role, content in messages],
            "tools": [TOOL],
        },
    )
    assert response.status_code == 200, response.text
    *frames, end = response.text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def text(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


async def test_a_question_with_tools_is_answered_with_sources_on_the_last_chunk(
    client: httpx.AsyncClient, model: ScriptedServer
) -> None:
    says(model, "The tower is 41 ", "metres high [1].")
    chunks = await asked(client, ("user", QUESTION))
    assert text(chunks) == "The tower is 41 metres high [1]."
    first, *_ = chunks[-1]["sources"]
    assert first["source"]["name"] == "vardholm/lighthouse.md"
    assert "41 metres" in first["document"][0]
    assert first["metadata"][0]["name"].startswith("[1] vardholm/lighthouse.md, lines ")


async def test_an_answer_of_extracts_in_a_models_place_is_labelled_in_its_text(
    client: httpx.AsyncClient, model: ScriptedServer
) -> None:
    for path in (CHAT, BATCH):
        model.replies[path] = deque([error(503, "asleep")])
    answer, label = text(await asked(client, ("user", QUESTION))).split("\n\n> ")
    assert answer.endswith("[1]")
    assert "asleep" in label
    assert "quoted from the documents" in label
    body = {"model": "tandem", "messages": [{"role": "user", "content": QUESTION}]}
    whole = (await client.post(CHAT, json=body)).json()["choices"][0]["message"]["content"]
    assert whole.partition("\n\n> ")[2] == label


@pytest.mark.parametrize("task", CHORES)
async def test_words_about_a_chat_cost_neither_a_run_nor_the_keys_allowance(
    service: Service, client: httpx.AsyncClient, model: ScriptedServer, task: str
) -> None:
    service.admission = Admission(1, 0, per_minute=1)
    message = {"role": "user", "content": CHORES[task]}
    for _ in range(3):
        response = await client.post(
            CHAT,
            json={"model": "tandem", "messages": [message], "stream": False, "max_tokens": 1000},
        )
        assert response.status_code == 200
        (choice,) = response.json()["choices"]
        assert choice["message"]["content"] == "{}"
        assert response.json()["sources"] == []
    assert model.requests == []


@pytest.mark.parametrize(
    ("streamed", "said"),
    [
        (True, [CHORES["tags"]]),  # somebody reads along
        (False, ["What does `### Task: <chat_history>` mean?"]),
        (False, ["### Task:\nHow high is the lighthouse?"]),
        (False, [QUESTION, "41 metres [1].", CHORES["tags"]]),
    ],
)
async def test_a_persons_question_is_never_taken_for_a_chore(
    client: httpx.AsyncClient, model: ScriptedServer, streamed: bool, said: list[str]
) -> None:
    messages = [
        {"role": role, "content": content}
        for role, content in zip(cycle(["user", "assistant"]), said, strict=False)
    ]
    body = {"model": "tandem", "messages": messages, "stream": streamed}
    response = await client.post(CHAT, json=body)
    assert response.status_code == 200
    assert '"{}"' not in response.text
    assert model.asked(CHAT)


async def test_a_chore_needs_a_key_as_a_question_does(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.keys.create("open-webui", scopes={"read"})
    body = {"model": "tandem", "messages": [{"role": "user", "content": CHORES["title"]}]}
    assert (await client.post(CHAT, json=body)).status_code == 401
