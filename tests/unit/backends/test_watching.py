"""Waiting ends when the server is gone, and not because it is slow."""

import asyncio

import pytest

from backends.chat import watching as module
from backends.chat.server import ServerDown, Unreachable
from backends.chat.watching import PATIENCE, watching


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_S", 0.02)


async def test_a_result_is_handed_on_and_nobody_is_asked() -> None:
    async def is_there() -> None:
        raise AssertionError

    async with watching(is_there, 5) as watch:
        assert await watch.wait(asyncio.sleep(0, "result")) == "result"


async def test_a_server_that_cannot_be_reached_ends_the_wait_at_once() -> None:
    asked = 0

    async def is_there() -> None:
        nonlocal asked
        asked += 1
        raise Unreachable("asleep")

    async with asyncio.timeout(30), watching(is_there, 60) as watch:
        with pytest.raises(Unreachable, match="asleep"):
            await watch.wait(asyncio.Event().wait())
    assert asked == 1


async def test_a_server_that_takes_connections_is_given_more_patience() -> None:
    asked = 0

    async def is_there() -> None:
        nonlocal asked
        asked += 1
        raise ServerDown("silent")

    async with asyncio.timeout(30), watching(is_there, 60) as watch:
        with pytest.raises(ServerDown, match="silent"):
            await watch.wait(asyncio.Event().wait())
    assert asked == PATIENCE


async def test_a_slow_server_that_is_there_is_waited_for() -> None:
    asked = asyncio.Event()

    async def is_there() -> None:
        asked.set()

    async with watching(is_there, 60) as watch:
        assert await watch.wait(asked.wait())


async def test_every_wait_has_its_own_limit() -> None:
    async def is_there() -> None:
        return

    async with asyncio.timeout(30), watching(is_there, 0.05) as watch:
        for _ in range(2):
            with pytest.raises(ServerDown, match="in time"):
                await watch.wait(asyncio.Event().wait())
        assert await watch.wait(asyncio.sleep(0, 1)) == 1


async def test_a_wait_that_ended_meanwhile_is_not_ended_again() -> None:
    first, asked, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def is_there() -> None:
        asked.set()
        await release.wait()
        raise Unreachable("asleep")

    async def arrive() -> None:
        await asked.wait()
        first.set()

    async with asyncio.timeout(30), watching(is_there, 60) as watch, asyncio.TaskGroup() as tasks:
        tasks.create_task(arrive())
        await watch.wait(first.wait())
        release.set()
        assert await watch.wait(asyncio.sleep(0.005, "next")) == "next"
