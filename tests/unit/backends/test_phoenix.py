"""What the Phoenix process is told, and what it tells."""

from pathlib import Path

import pytest

from backends.phoenix.process import PhoenixProcess, _environment, _is_local
from errors import PhoenixUnavailable
from settings import PhoenixSettings


def test_the_child_sees_the_address_and_none_of_our_secrets() -> None:
    inherited = {
        "PATH": "/usr/bin",
        "TANDEM_LLM__API_KEY": "secret",
        "PHOENIX_SQL_DATABASE_URL": "postgresql://elsewhere",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
    }
    settings = PhoenixSettings(endpoint="http://127.0.0.1:7007", retention_days=7)

    told = _environment(settings, Path("/data/phoenix"), inherited)

    assert "secret" not in str(told)
    assert "PHOENIX_SQL_DATABASE_URL" not in told
    assert told["PATH"] == "/usr/bin"
    assert (told["PHOENIX_HOST"], told["PHOENIX_PORT"]) == ("127.0.0.1", "7007")
    assert told["PHOENIX_WORKING_DIR"] == "/data/phoenix"
    assert told["PHOENIX_DEFAULT_RETENTION_POLICY_DAYS"] == "7"


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:6006", True),
        ("http://localhost:6006", True),
        ("http://[::1]:6006", True),
        ("http://192.168.0.50:6006", False),
        ("http://phoenix:6006", False),
        ("http://0.0.0.0:6006", False),
    ],
)
def test_only_a_loopback_address_is_started_here(endpoint: str, local: bool) -> None:
    assert _is_local(endpoint) is local


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_an_empty_endpoint_starts_nothing(tmp_path: Path) -> None:
    process = PhoenixProcess(PhoenixSettings(endpoint=""), tmp_path)

    await process.start()

    assert process.state.status == "off"
    with pytest.raises(PhoenixUnavailable, match="TANDEM_PHOENIX__ENDPOINT"):
        await process.wait_ready()
    await process.stop()
    assert entries(tmp_path) == []


@pytest.mark.parametrize("endpoint", ["127.0.0.1:6006", "ftp://phoenix", "http://", "6006"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"no address like http://127\.0\.0\.1:6006"):
        PhoenixSettings(endpoint=endpoint)
