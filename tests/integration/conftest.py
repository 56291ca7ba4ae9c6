"""Real parts that several tests share."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from backends.phoenix.process import PhoenixProcess
from settings import PhoenixSettings
from tests.corpus import write_corpus
from tests.running_service import tandem


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    return _free_port()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def phoenix_process(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[PhoenixProcess]:
    """A Phoenix of the test run's own; its start takes 10 to 30 s, once."""
    endpoint = f"http://127.0.0.1:{_free_port()}"
    process = PhoenixProcess(PhoenixSettings(endpoint=endpoint), tmp_path_factory.mktemp("phoenix"))
    await process.start()
    await process.wait_ready()
    yield process
    await process.stop()


@pytest.fixture(scope="session")
def phoenix(phoenix_process: PhoenixProcess) -> str:
    """The endpoint of a running Phoenix: use a project name of your own."""
    return phoenix_process.endpoint


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of an indexed corpus, which lies beside it; who damages it mends it."""
    folder = tmp_path_factory.mktemp("indexed")
    run = tandem("index", str(write_corpus(folder / "vardholm")), data_dir=folder / "data")
    assert (run.returncode, run.stderr) == (0, "")
    return folder / "data"
