"""What a sync must be given to make the same index again."""

from pathlib import Path

from indexer.coverage import covered
from indexer.manifest import Manifest
from tests.unit.indexer.index_fakes import Index, new_index


async def indexed(tmp_path: Path, *paths: str) -> Index:
    """An index of paths below ``notes``, each synced on its own."""
    for name in ("a.md", "b.md", "deep/c.md", "deep/er/d.md"):
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n\nWords of {name}.\n")
    index = new_index(tmp_path / "data")
    for part in paths:
        await index.sync(tmp_path / "notes" / part)
    return index


async def names(tmp_path: Path, manifest: Manifest) -> list[str]:
    found = await covered(manifest)
    await manifest.aclose()
    return [path.relative_to(tmp_path).as_posix() for path in found]


async def test_a_whole_folder_is_covered_as_one(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "")
    assert await names(tmp_path, index.manifest) == ["notes"]


async def test_files_named_alone_do_not_bring_their_folder(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "a.md", "deep/er/d.md")
    assert await names(tmp_path, index.manifest) == ["notes/a.md", "notes/deep/er/d.md"]


async def test_a_folder_inside_a_root_of_single_files_is_covered_whole(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "a.md", "deep")
    assert await names(tmp_path, index.manifest) == ["notes/deep", "notes/a.md"]


async def test_the_outer_folder_stands_for_those_inside(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "deep/er", "deep", "")
    assert await names(tmp_path, index.manifest) == ["notes"]


async def test_of_what_is_gone_only_roots_are_still_listed(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "a.md", "b.md", "deep")
    (tmp_path / "notes" / "b.md").unlink()
    (tmp_path / "notes" / "deep").rename(tmp_path / "elsewhere")
    assert await names(tmp_path, index.manifest) == ["notes/a.md"]
    whole = await indexed(tmp_path / "other", "")
    (tmp_path / "other" / "notes").rename(tmp_path / "unmounted")
    assert await names(tmp_path / "other", whole.manifest) == ["notes"]


async def test_a_sync_that_covers_nothing_new_writes_nothing(tmp_path: Path) -> None:
    index = await indexed(tmp_path, "")
    before = await index.manifest.fact("folders")
    await index.sync(tmp_path / "notes" / "deep")
    assert await index.manifest.fact("folders") == before
    await index.manifest.aclose()
