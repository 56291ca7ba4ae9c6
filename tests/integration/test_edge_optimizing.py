"""The search index of an embedded store, built beside it: who waits, and what a failure leaves."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from qdrant_client import models

from backends.qdrant_edge import optimizing
from backends.qdrant_edge.client import EdgeClient

NAME = "passages"
POINTS = 300
_SOON_S = 30


def _points(start: int, count: int) -> list[models.PointStruct]:
    return [
        models.PointStruct(id=number, vector={"dense": [number % 7, 1.0, number / POINTS]})
        for number in range(start, start + count)
    ]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeClient]:
    client = EdgeClient(tmp_path)
    params = models.VectorParams(size=3, distance=models.Distance.COSINE)
    client.create_collection(NAME, {"dense": params})
    client.upsert(NAME, _points(0, POINTS))
    yield client
    client.close()


def _shards(folder: Path) -> list[str]:
    return [path.name for path in (folder / NAME).glob("shard*")]


def test_searches_go_on_and_changes_wait_while_the_index_is_built(
    client: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()
    build = optimizing.Optimizer.run

    def build_slowly(self: optimizing.Optimizer, folder: Path) -> bool:
        started.set()
        return go_on.wait(_SOON_S) and build(self, folder)

    monkeypatch.setattr(optimizing.Optimizer, "run", build_slowly)
    with ThreadPoolExecutor(2) as threads:
        optimized = threads.submit(client.optimize, NAME)
        assert started.wait(_SOON_S)
        changed = threads.submit(client.upsert, NAME, _points(POINTS, 1))
        found = client.query_points(NAME, query=[1.0, 1.0, 0.0], using="dense", limit=5)
        assert len(found.points) == 5
        assert not changed.done()
        go_on.set()
        assert optimized.result(_SOON_S)
        changed.result(_SOON_S)
    assert client.count(NAME).count == POINTS + 1


def test_what_was_built_is_there_after_reopening(client: EdgeClient, tmp_path: Path) -> None:
    assert client.optimize(NAME)
    [first] = _shards(tmp_path)
    client.upsert(NAME, _points(POINTS, 10))
    assert client.optimize(NAME)
    [second] = _shards(tmp_path)
    assert first != second
    client.close()
    assert client.count(NAME).count == POINTS + 10


def test_a_copy_that_a_kill_left_behind_is_removed(client: EdgeClient, tmp_path: Path) -> None:
    client.close()
    shutil.copytree(tmp_path / NAME / "shard", tmp_path / NAME / "shard-left")
    assert client.count(NAME).count == POINTS
    assert _shards(tmp_path) == ["shard"]


def test_a_replaced_shard_that_a_kill_left_behind_is_removed(
    client: EdgeClient, tmp_path: Path
) -> None:
    assert client.optimize(NAME)
    [current] = _shards(tmp_path)
    client.close()
    shutil.copytree(tmp_path / NAME / current, tmp_path / NAME / "shard")
    assert client.count(NAME).count == POINTS
    assert _shards(tmp_path) == [current]


def test_a_process_that_fails_is_logged_and_changes_nothing(
    client: EdgeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(optimizing, "_START", "raise SystemExit('no memory left')")
    assert not client.optimize(NAME)
    assert "searches stay exact" in caplog.text
    assert "no memory left" in caplog.text
    assert _shards(tmp_path) == ["shard"]
    client.upsert(NAME, _points(POINTS, 1))
    assert client.count(NAME).count == POINTS + 1


def test_closing_ends_the_process_and_loses_nothing(
    client: EdgeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        optimizing,
        "_START",
        "import sys, pathlib, time; pathlib.Path(sys.argv[2], 'started').touch(); time.sleep(60)",
    )
    with ThreadPoolExecutor(1) as threads:
        optimized = threads.submit(client.optimize, NAME)
        until = time.monotonic() + _SOON_S
        while not list(tmp_path.glob(f"{NAME}/shard-*/started")):
            assert time.monotonic() < until, "the process did not start"
            threading.Event().wait(0.01)
        client.close()
        assert optimized.result(_SOON_S) is False
    assert client.count(NAME).count == POINTS
    assert _shards(tmp_path) == ["shard"]


def test_a_process_that_takes_too_long_is_ended(
    client: EdgeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(optimizing, "_START", "import time; time.sleep(60)")
    monkeypatch.setattr(optimizing, "TIMEOUT_S", 0.1)
    assert not client.optimize(NAME)
    assert "took longer than 0.1 s" in caplog.text
