"""Stores and manifests that do not belong together."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from errors import StoreLocked
from tests.unit.indexer.index_fakes import Index, by_hand, new_index


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = new_index(tmp_path / "data")
    yield index
    await index.manifest.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """So many files that a sample of points misses what differs in one of them."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.txt").write_text(f"This is note number {number}.\n")
    return folder


@pytest.mark.parametrize("number", range(8))
async def test_a_store_restored_from_a_backup_is_noticed(
    index: Index, folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.pairing._LASTS_S", -1)
    await index.sync(folder)
    backup = dict(index.store.points), index.store.noted
    (folder / f"{number}.txt").write_text("This is another note now.\n")
    await index.sync(folder)
    index.store.points, index.store.noted = backup
    await index.sync(folder)
    assert index.store.points == by_hand(folder)


@pytest.mark.parametrize("number", range(8))
async def test_a_manifest_restored_from_a_backup_is_noticed(
    index: Index, folder: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.pairing._LASTS_S", -1)
    path = folder / f"{number}.txt"
    await index.sync(folder)
    await index.manifest.aclose()
    shutil.copytree(index.data_dir, tmp_path / "backup")
    before = path.rename(tmp_path / "before.txt")
    path.write_text("This is another note now.\n")
    await index.restart()
    await index.sync(folder)
    await index.manifest.aclose()
    shutil.rmtree(index.data_dir)
    shutil.copytree(tmp_path / "backup", index.data_dir)
    before.replace(path)  # as the old manifest knows it: stat alone shows no change
    await index.restart()
    await index.sync(folder)
    assert index.store.points == by_hand(folder)


async def test_a_run_without_changes_renews_no_stamp(index: Index, folder: Path) -> None:
    await index.sync(folder)
    noted = index.store.noted
    assert noted is not None
    await index.sync(folder)
    assert index.store.noted == noted


async def test_a_collection_of_another_data_folder_is_refused_and_left_alone(
    index: Index, folder: Path, tmp_path: Path
) -> None:
    await index.sync(folder)
    before = dict(index.store.points)
    other = new_index(tmp_path / "other data")
    other.store = index.store
    other.store.is_shared = True
    (folder / "1.txt").unlink()
    with pytest.raises(StoreLocked, match="TANDEM_QDRANT__TAKE_OVER"):
        await other.sync(folder)
    assert index.store.points == before
    other.store.take_over = True
    await other.sync(folder)
    other.store.take_over = False
    assert index.store.points == by_hand(folder)
    with pytest.raises(StoreLocked):
        await index.sync(folder)
    await other.manifest.aclose()


async def test_the_owner_is_known_after_the_manifest_is_lost(index: Index, folder: Path) -> None:
    index.store.is_shared = True
    await index.sync(folder)
    await index.manifest.aclose()
    (index.data_dir / "manifests" / "documents.sqlite3").unlink()
    await index.restart()
    index.embeddings.embedded.clear()
    await index.sync(folder)
    assert index.store.points == by_hand(folder)
    assert index.embeddings.embedded == []
