"""``tandem serve --workers`` where it cannot be, and what a worker leaves to its leader."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.metrics import Metrics
from api.service import open_service
from api.workers.forwarding import is_leaders
from server import create_app, create_worker_app
from settings import Settings
from tests.integration.conftest import _free_port
from tests.postgres_server import postgres_programs
from tests.running_service import TANDEM, environment, tandem
from tests.running_workers import shared_backends

QDRANT = {"TANDEM_QDRANT__URL": "http://127.0.0.1:9"}
THREADS = {"TANDEM_THREADS_URL": "postgresql://me@127.0.0.1:9/none"}


@pytest.mark.parametrize(
    ("workers", "settings", "named", "left_out"),
    [
        ("2", {}, ["TANDEM_QDRANT__URL", "TANDEM_THREADS_URL"], []),
        ("2", THREADS, ["TANDEM_QDRANT__URL"], ["TANDEM_THREADS_URL"]),
        ("64", QDRANT, ["TANDEM_THREADS_URL"], ["TANDEM_QDRANT__URL"]),
        ("0", QDRANT | THREADS, ["from 1 to 64"], ["TANDEM"]),
        ("65", QDRANT | THREADS, ["from 1 to 64"], ["TANDEM"]),
        ("-1", {}, ["from 1 to 64"], ["TANDEM"]),
    ],
)
def test_what_several_processes_cannot_share_is_named(
    tmp_path: Path, workers: str, settings: dict[str, str], named: list[str], left_out: list[str]
) -> None:
    refused = tandem("serve", f"--workers={workers}", data_dir=tmp_path / "data", **settings)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"tandem: --workers {workers}: ")
    for name in named:
        assert name in refused.stderr
    for name in left_out:
        assert name not in refused.stderr
    assert not (tmp_path / "data").exists()


@pytest.fixture
def threads_for_one() -> Iterator[dict[str, str]]:
    """Backends that a leader can open and a worker cannot: a database of two connections."""
    with shared_backends() as shared:
        url = shared["TANDEM_THREADS_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 2")
            connection.execute("CREATE DATABASE few OWNER few")
        few = url.replace("tandem:secret", "few").replace("/postgres", "/few")
        yield {**shared, "TANDEM_THREADS_URL": few}


@pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL is installed")
def test_workers_that_cannot_start_end_the_service_with_the_reason(
    tmp_path: Path, threads_for_one: dict[str, str]
) -> None:
    port = _free_port()
    ended = subprocess.run(  # noqa: S603 - our own program
        [TANDEM, "--data-dir", str(tmp_path), "serve", "--port", str(port), "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(TANDEM_ROOTS="", **threads_for_one),
    )
    assert ended.returncode == 3, ended.stderr
    assert "a worker cannot start: The conversations in PostgreSQL" in ended.stderr
    assert "too many connections" in ended.stderr
    assert "tandem: The workers end as soon as they are started" in ended.stderr
    assert "Tandem is ready" not in ended.stdout
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "server.json").exists()


async def test_every_route_is_a_workers_own_or_handed_on(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", roots=[], _env_file=None)
    async with open_service(settings) as service:
        whole = set(create_app(service).openapi()["paths"])
        own = set(create_worker_app(service, Metrics()).openapi()["paths"])
    assert own < whole
    assert {path for path in whole if is_leaders(path)} == whole - own
