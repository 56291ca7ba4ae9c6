"""Calls that a client cancels, or whose client goes away: the run behind them ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from tests.corpus import write_corpus
from tests.integration.conftest import _free_port
from tests.integration.test_leaving import QUESTION, STUCK, Setting, until
from tests.mcp_clients import bridge_command, over_http, over_stdio
from tests.running_service import running_service

BEGUN_WITHIN_S = 30.0
ENDED_WITHIN_S = 3.0
WAYS = [
    ("http", "auto"),
    ("http", "legacy"),
    ("through a service", "auto"),
    ("through a service", "legacy"),
    ("embedded", "auto"),
    ("embedded", "legacy"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Setting]:
    from tests.language_model_server import scripted

    folder = tmp_path_factory.mktemp("cancelling")
    root = write_corpus(folder / "vardholm")
    async with scripted(STUCK) as model:
        running = running_service(folder / "data", root, _free_port(), **_settings(model.url))
        service = await asyncio.to_thread(running.__enter__)
        try:
            yield Setting(service, model)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def _settings(model: str) -> dict[str, str]:
    return {
        "TANDEM_LLM__BASE_URLS": f"{model}/v1",
        "TANDEM_GRADING__STRATEGY": "off",
        "TANDEM_VERIFICATION": "off",
    }


def connected(
    way: str, era: str, setting: Setting, indexed: Path
) -> AbstractAsyncContextManager[Client]:
    """A client of each kind of bridge; all of them end up at the same language model."""
    if way == "http":
        return over_http(setting.service.url, era=era)
    data_dir = setting.service.data_dir if way == "through a service" else indexed
    return over_stdio(bridge_command(data_dir, **_settings(setting.model.url)), era=era)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("way", "era"), WAYS)
async def test_a_cancelled_call_ends_its_run(
    setting: Setting, indexed: Path, way: str, era: str
) -> None:
    begun, abandoned = setting.begun, setting.model.abandoned
    async with connected(way, era, setting, indexed) as client:
        asking = asyncio.create_task(client.call_tool("ask", {"question": QUESTION}))
        await until(lambda: setting.begun > begun or asking.done(), BEGUN_WITHIN_S)
        assert not asking.done()
        assert setting.model.abandoned == abandoned
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await until(lambda: setting.model.abandoned > abandoned, ENDED_WITHIN_S)
        assert len((await client.list_tools()).tools) >= 5  # the session goes on


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("way", "era"), WAYS)
async def test_a_client_that_goes_away_ends_its_runs(
    setting: Setting, indexed: Path, way: str, era: str
) -> None:
    begun, abandoned = setting.begun, setting.model.abandoned
    async with connected(way, era, setting, indexed) as client:
        asking = asyncio.create_task(client.call_tool("ask", {"question": QUESTION}))
        await until(lambda: setting.begun > begun or asking.done(), BEGUN_WITHIN_S)
        assert not asking.done()
    await until(lambda: setting.model.abandoned > abandoned, ENDED_WITHIN_S)
    with pytest.raises((MCPError, asyncio.CancelledError)):
        await asking
