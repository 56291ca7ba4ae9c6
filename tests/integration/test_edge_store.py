"""The embedded store on a real disk: locks, kills, damage, full and unusable folders."""

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from qdrant_client import models

from backends.qdrant_edge import shard as edge_shard
from backends.qdrant_edge.client import EdgeClient
from errors import (
    EmbeddingMismatch,
    SettingsError,
    StoreDamaged,
    StoreLocked,
    UsageError,
    VectorStoreUnavailable,
)

NAME = "passages"


def _points(start: int, count: int) -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=number,
            vector={"dense": [number + 1.0, 1.0, 0.5, 0.0]},
            payload={"page_content": f"passage {number}", "metadata": {}},
        )
        for number in range(start, start + count)
    ]


def _create(folder: Path, points: int = 50) -> EdgeClient:
    client = EdgeClient(folder)
    vectors = {"dense": models.VectorParams(size=4, distance=models.Distance.COSINE)}
    client.create_collection(NAME, vectors_config=vectors, metadata={"a": 1})
    client.upsert(NAME, _points(0, points))
    return client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a closed collection of 50 points."""
    _create(tmp_path / "qdrant").close()
    return tmp_path / "qdrant"


def test_points_and_metadata_are_there_after_reopening(folder: Path) -> None:
    client = EdgeClient(folder)
    assert client.count(NAME).count == 50
    assert client.get_collection(NAME).config.metadata == {"a": 1}
    client.close()


def test_many_reopenings_with_changes_and_optimisations_lose_nothing(folder: Path) -> None:
    expected = set(range(50))
    for turn in range(6):
        client = EdgeClient(folder)
        client.upsert(NAME, _points(100 * (turn + 1), 80))
        expected |= set(range(100 * (turn + 1), 100 * (turn + 1) + 80))
        gone = sorted(expected)[:: turn + 3]
        client.delete(NAME, gone)
        expected -= set(gone)
        if turn % 2:
            client.optimize(NAME)
        client.upsert(NAME, _points(min(expected), 1))
        client.close()
    client = EdgeClient(folder)
    records, _ = client.scroll(NAME, limit=1000)
    client.close()
    assert {record.id for record in records} == expected


_WRITE_FOREVER = """
import sys
from pathlib import Path
from backends.qdrant_edge import shard as edge_shard
from test_edge_store import _create, _points

edge_shard.FLUSH_EVERY_POINTS = int(sys.argv[2])
client = _create(Path(sys.argv[1]), points=0)
written = 0
while True:
    client.upsert("passages", _points(written, 20))
    written += 20
    print(written, flush=True)
"""


@pytest.mark.parametrize("flush_every", [50, 10_000])
def test_points_survive_a_kill(tmp_path: Path, flush_every: int) -> None:
    here = Path(__file__)
    with subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", _WRITE_FOREVER, str(tmp_path / "qdrant"), str(flush_every)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{here.parents[2]}{os.pathsep}{here.parent}"},
    ) as writer:
        assert writer.stdout is not None
        for _ in range(25):
            written = int(writer.stdout.readline())
        with pytest.raises(StoreLocked, match="tandem serve"):
            EdgeClient(tmp_path / "qdrant").count(NAME)
        writer.send_signal(signal.SIGKILL)
    client = EdgeClient(tmp_path / "qdrant")
    assert client.count(NAME).count >= written == 500
    assert len(client.retrieve(NAME, list(range(written)))) == written
    client.close()


def test_a_second_handle_is_refused_until_the_first_is_closed(folder: Path) -> None:
    first, second = EdgeClient(folder), EdgeClient(folder)
    first.open_collection(NAME)
    with pytest.raises(StoreLocked, match=r"Another process holds .*`tandem serve`"):
        second.count(NAME)
    first.close()
    assert second.count(NAME).count == 50
    second.close()


def _segment_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{NAME}/shard/segments/**/*") if path.is_file())


LASTING = [
    "segment.json",
    "mutable_id_tracker.mappings",
    "mutable_id_tracker.versions",
    "chunk_0.mmap",
    "page_0.dat",
    "tracker.dat",
    "status.dat",
]


@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
@pytest.mark.parametrize("name", LASTING)
def test_a_missing_or_shortened_file_is_reported_and_nothing_is_changed(
    folder: Path, name: str, damage: str
) -> None:
    path = next(path for path in _segment_files(folder) if path.name == name)
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 0 if damage == "empty" else size // 2)
    for _ in range(2):  # looking at it repairs nothing
        with pytest.raises(StoreDamaged) as caught:
            EdgeClient(folder).count(NAME)
    assert str(folder / NAME) in str(caught.value)
    assert "tandem index" in str(caught.value)
    assert path.exists() == (damage != "missing")


@pytest.mark.parametrize(
    "path",
    ["collection.json", "shard/edge_config.json", "shard/wal/first-index", "shard/wal/open-1"],
)
def test_garbage_in_a_file_is_reported(folder: Path, path: str) -> None:
    (folder / NAME / path).write_bytes(b"\x00garbage\xff" * 10)
    with pytest.raises(StoreDamaged, match="Move that folder away"):
        EdgeClient(folder).count(NAME)


@pytest.mark.parametrize("path", ["collection.json", "shard", "shard/segments"])
def test_a_missing_part_is_never_an_empty_store(folder: Path, path: str) -> None:
    gone = folder / NAME / path
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="is missing"):
            EdgeClient(folder).count(NAME)


def test_a_closed_store_needs_no_write_ahead_log(folder: Path) -> None:
    shutil.rmtree(folder / NAME / "shard" / "wal")
    client = EdgeClient(folder)
    assert client.count(NAME).count == 50
    client.close()


def test_after_moving_the_damaged_folder_away_a_new_collection_can_be_made(folder: Path) -> None:
    (folder / NAME / "collection.json").write_text("{}")
    with pytest.raises(StoreDamaged):
        EdgeClient(folder).count(NAME)
    (folder / NAME).rename(folder / "away")
    client = _create(folder, points=3)
    assert client.count(NAME).count == 3
    client.close()


def test_an_abandoned_creation_leaves_no_collection(tmp_path: Path) -> None:
    (tmp_path / "qdrant" / f".{NAME}.123" / "shard").mkdir(parents=True)
    client = EdgeClient(tmp_path / "qdrant")
    assert not client.collection_exists(NAME)
    client.close()


def test_a_full_disk_is_refused_before_the_engine_dies_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    client = EdgeClient(folder)
    client.open_collection(NAME)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    with pytest.raises(VectorStoreUnavailable, match=r"is full .*TANDEM_DATA_DIR"):
        client.upsert(NAME, _points(1000, 1))
    assert client.optimize(NAME) is False
    assert client.count(NAME).count == 50
    with pytest.raises(VectorStoreUnavailable, match="is full"):
        _create(folder.parent / "other")
    monkeypatch.undo()
    assert not (folder.parent / "other" / NAME).exists()
    client.close()


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "qdrant").write_text("not a folder")
    with pytest.raises(SettingsError, match="TANDEM_DATA_DIR"):
        _create(tmp_path / "qdrant")


def test_a_data_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(SettingsError, match="TANDEM_DATA_DIR"):
        _create(Path("/proc/tandem"))


def test_a_collection_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    for name in ("../outside", "a/b", "", ".", ".."):
        with pytest.raises(SettingsError, match="TANDEM_QDRANT__COLLECTION"):
            EdgeClient(tmp_path).collection_exists(name)


def test_requests_that_do_not_fit_are_refused_and_the_store_stays_usable(folder: Path) -> None:
    client = EdgeClient(folder)
    with pytest.raises(EmbeddingMismatch, match="expected dim: 4, got 3"):
        client.query_points(NAME, query=[1.0, 2.0, 3.0], using="dense")
    with pytest.raises(UsageError, match="nope"):
        client.query_points(NAME, query=[1.0] * 4, using="nope")
    with pytest.raises(UsageError, match="not a point id"):
        client.retrieve(NAME, ["no uuid"])
    with pytest.raises(VectorStoreUnavailable, match="There is no collection 'other'"):
        client.count("other")
    query = models.RecommendQuery(recommend=models.RecommendInput(positive=[1]))
    with pytest.raises(UsageError, match="RecommendQuery"):
        client.query_points(NAME, query=query, using="dense")
    assert client.count(NAME).count == 50
    client.close()


def test_a_closed_store_says_so(folder: Path) -> None:
    shard = edge_shard.Shard.open(folder / NAME)
    shard.close()
    with (
        pytest.raises(VectorStoreUnavailable, match="closed"),
        shard.engine() as engine,
    ):
        engine.info()
