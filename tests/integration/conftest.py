"""Real parts that several tests share."""

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from backends.phoenix.process import PhoenixProcess
from settings import PhoenixSettings
from tests.corpus import write_corpus
from tests.postgres_server import postgres_programs, running_postgres
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a running PostgreSQL of the test run's own."""
    programs = postgres_programs()
    if programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have PostgreSQL's server.")
        pytest.skip("PostgreSQL's server is not installed.")
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="tandem-postgres-") as folder:
        Path(folder).chmod(0o711)
        with running_postgres(programs, Path(folder) / "server", _free_port()) as url:
            yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """Its address, without any table."""
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute("DROP SCHEMA public CASCADE")
        database.execute("CREATE SCHEMA public")
    return postgres
