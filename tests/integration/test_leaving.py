"""Clients that go away before the answer: the run ends, and the language model's work for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.language_model_server import HANG, Reply, ScriptedServer, scripted, stream
from tests.running_service import RunningService, running_service

QUESTION = "Who built the Vardholm lighthouse?"
ASKED = {"question": QUESTION}
COMPLETION = {"model": "tandem", "messages": [{"role": "user", "content": QUESTION}]}
CHAT = {"messages": [{"type": "human", "content": QUESTION}]}
LEFT_WITHIN_S = 1.0
BUSY_S = 20.0
"""What a busy machine may make of it once; the model would go on for ever."""
BEGUN_WITHIN_S = 20.0

STUCK = Reply([*stream("The answer", reason=None, end=()).body, HANG], kind="text/event-stream")
"""An answer that begins and then never goes on."""

Request = tuple[str, dict[str, Any]]
REQUESTS: list[Request] = [
    ("/ask", ASKED),
    ("/ask", {**ASKED, "stream": False}),
    ("/ask", {**ASKED, "thread_id": "left"}),
    ("/v1/chat/completions", COMPLETION),
    ("/v1/chat/completions", {**COMPLETION, "stream": True}),
    ("/rag/invoke", {"input": ASKED}),
    ("/rag/batch", {"inputs": [ASKED]}),
    ("/rag/stream", {"input": ASKED}),
    ("/rag/stream_log", {"input": ASKED}),
    ("/rag/stream_events", {"input": ASKED}),
    ("/chat/invoke", {"input": CHAT}),
    ("/chat/stream", {"input": CHAT}),
]


class Setting:
    """A service, and the language model that it asks."""

    def __init__(self, service: RunningService, model: ScriptedServer) -> None:
        self.service = service
        self.model = model

    @property
    def begun(self) -> int:
        """How many answers the language model was asked for."""
        return len(self.model.asked("/v1/chat/completions"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaving")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(folder: Path) -> AsyncIterator[Setting]:
    root = write_corpus(folder / "vardholm")
    async with scripted(STUCK) as model:
        settings = {
            "TANDEM_LLM__BASE_URLS": f"{model.url}/v1",
            "TANDEM_GRADING__STRATEGY": "off",
            "TANDEM_VERIFICATION": "off",
        }
        running = running_service(folder / "data", root, _free_port(), **settings)
        service = await asyncio.to_thread(running.__enter__)
        try:
            yield Setting(service, model)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


@contextlib.asynccontextmanager
async def asking(setting: Setting, path: str, body: dict[str, Any]) -> AsyncIterator[None]:
    """A request under way, up to the first words of the language model; left at the end."""
    before = setting.begun

    async def read() -> None:
        async with (
            httpx.AsyncClient(base_url=setting.service.url, timeout=60, trust_env=False) as client,
            client.stream("POST", path, json=body) as response,
        ):
            async for _ in response.aiter_raw():
                pass

    reading = asyncio.create_task(read())
    try:
        await until(lambda: setting.begun > before or reading.done(), BEGUN_WITHIN_S)
        assert not reading.done(), "the request was answered, which it should not have been"
        yield
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def until(condition: Any, within_s: float) -> float:
    """Seconds until the condition holds."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.005)
    return time.monotonic() - began


def has_left(setting: Setting, before: int) -> bool:
    return setting.model.abandoned > before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_a_client_that_leaves_ends_the_language_models_work(
    setting: Setting, path: str, body: dict[str, Any]
) -> None:
    for _ in range(3):  # the machine may have been at something else
        before = setting.model.abandoned
        async with asking(setting, path, body):
            assert setting.model.abandoned == before
        if await until(partial(has_left, setting, before), BUSY_S) <= LEFT_WITHIN_S:
            return
    pytest.fail(f"the model went on for more than {LEFT_WITHIN_S} s")
