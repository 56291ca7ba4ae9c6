"""What may happen to a data folder between two syncs, with the real store and manifest."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from backends.sparse import Bm25Sparse
from backends.vector_store import VectorStore
from benchmarks.index_checks import HashModel, differences, expected, index, opened
from errors import StoreLocked, TandemError
from indexer.manifest import Manifest
from indexer.sync import sync


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"This is note number {number}.\n")
    return folder


class Counting(HashModel):
    """Remembers how many texts it was asked for."""

    embedded = 0

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.embedded += len(texts)
        return await super().aembed_documents(texts)


async def sync_and_compare(folder: Path, data_dir: Path) -> int:
    """Opens, syncs and compares with the folder; returns how many texts were embedded."""
    model = Counting()
    async with opened(data_dir, model) as (store, manifest):
        await index(folder, store, manifest, model)
        embedded = model.embedded
        assert await differences(expected(folder, model), store, model) == []
    return embedded


def lose_store(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "qdrant")


def lose_manifest(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "manifests")


def spoil_manifest(data: Path, backup: Path) -> None:
    (path,) = (data / "manifests").glob("*.sqlite3")
    path.write_bytes(b"not a database" * 1000)


def restore_store(data: Path, backup: Path) -> None:
    shutil.rmtree(data / "qdrant")
    shutil.copytree(backup / "qdrant", data / "qdrant")


def restore_manifest(data: Path, backup: Path) -> None:
    lose_manifest(data, backup)
    shutil.copytree(backup / "manifests", data / "manifests")


@pytest.mark.parametrize(
    ("happens", "embedded"),
    [
        (lose_store, 300),
        (lose_manifest, 0),
        (spoil_manifest, 0),
        (restore_store, 1),
        (restore_manifest, 0),
    ],
)
async def test_what_was_lost_or_restored_is_noticed(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[Path, Path], None],
    embedded: int,
) -> None:
    monkeypatch.setattr("indexer.pairing._LASTS_S", -1)
    data, backup = tmp_path / "data", tmp_path / "backup"
    await sync_and_compare(folder, data)
    shutil.copytree(data, backup)
    (folder / "7.txt").write_text("This note is another one now.\n")
    await sync_and_compare(folder, data)
    happens(data, backup)
    assert await sync_and_compare(folder, data) == embedded
    assert await sync_and_compare(folder, data) == 0


async def test_two_processes_over_one_data_folder_change_nothing_of_each_other(
    folder: Path, tmp_path: Path
) -> None:
    model = HashModel()
    async with opened(tmp_path / "data", model) as (store, manifest):
        await index(folder, store, manifest, model)
        with pytest.raises(StoreLocked):
            async with opened(tmp_path / "data", model):
                pass
        assert await differences(expected(folder, model), store, model) == []


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
async def test_two_data_folders_do_not_share_a_collection(folder: Path, tmp_path: Path) -> None:
    """Over ``qdrant_client``'s local mode, in the place of a server."""
    model = HashModel()
    client = QdrantClient(":memory:")
    store = VectorStore(client, "shared", model, Bm25Sparse(), place="here")
    first, second = Manifest(tmp_path / "first"), Manifest(tmp_path / "second")
    await index(folder, store, first, model)
    (folder / "7.txt").unlink()
    with pytest.raises(StoreLocked, match="TANDEM_QDRANT__TAKE_OVER"):
        await index(folder, store, second, model)
    assert await store.count() == 300
    await index(folder, store, first, model)
    assert await differences(expected(folder, model), store, model) == []
    for manifest in (first, second):
        await manifest.aclose()
    await store.aclose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 700 MB, in memory."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(place)]
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None or subprocess.run(command, check=False).returncode:  # noqa: S603
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)  # noqa: S603, S607


def fill(place: Path, leave: int) -> Path:
    """A file that leaves so many bytes free."""
    ballast = place / "ballast"
    free = shutil.disk_usage(place).free - leave
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free))
    return ballast


@pytest.mark.parametrize("leave", [0, 20_000, 2_000_000, 200_000_000])
async def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(
    small_disk: Path, folder: Path, leave: int
) -> None:
    data = small_disk / "data"
    await sync_and_compare(folder, data)
    for number in range(200):
        (folder / f"new{number}.md").write_text(f"# New {number}\n\n" + "A full disk. " * 300)
    (folder / "7.txt").unlink()
    ballast = fill(small_disk, leave)
    with pytest.raises(TandemError, match=r"full|free space|No space"):
        await sync_and_compare(folder, data)
    ballast.unlink()
    await sync_and_compare(folder, data)


async def test_a_disk_that_fills_up_while_indexing_is_a_clear_error(
    small_disk: Path, folder: Path
) -> None:
    model = HashModel()
    data = small_disk / "data"
    async with opened(data, model) as (store, manifest):
        await index(folder, store, manifest, model)
        for number in range(200):
            (folder / f"new{number}.md").write_text(f"# New {number}\n\n" + "A full disk. " * 300)

        def fill_up(_: object) -> None:
            if not (small_disk / "ballast").exists():
                fill(small_disk, 0)

        with pytest.raises(TandemError, match=r"full|free space|No space"):
            await sync(
                [folder],
                store=store,
                embeddings=model,
                sparse=Bm25Sparse(),
                manifest=manifest,
                max_file_bytes=10_000_000,
                on_progress=fill_up,
                retry_delays_s=(),
            )
        assert await store.search("note number 5", k=3)
        await asyncio.to_thread((small_disk / "ballast").unlink)
    await sync_and_compare(folder, data)
