from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from indexer.tenants import DEFAULT, Tenants
from tests.unit.indexer.index_fakes import new_index


def test_a_folder_that_nobody_claims_is_the_default_tenants() -> None:
    assert Tenants().of("/srv/docs/a.md") == DEFAULT
    assert Tenants({"acme": [Path("/srv/acme")]}).of("/srv/acmes/a.md") == DEFAULT


def test_the_innermost_folder_decides() -> None:
    tenants = Tenants({"outer": [Path("/srv")], "inner": [Path("/srv/a/b")]})
    assert tenants.of("/srv/a/b.md") == "outer"
    assert tenants.of("/srv/a/b") == "inner"
    assert tenants.of("/srv/a/b/c/d.md") == "inner"


def test_a_folder_named_by_a_link_is_the_one_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Tenants({"acme": [tmp_path / "link"]}).of(str(tmp_path / "real" / "a.md")) == "acme"


names = st.sampled_from(["a", "b", "ab"])
places = st.lists(names, min_size=1, max_size=4).map(lambda parts: Path("/nowhere", *parts))


@given(claims=st.dictionaries(st.sampled_from(["x", "y"]), st.lists(places, max_size=3)), at=places)
def test_a_place_belongs_to_the_nearest_claimed_folder_around_it(
    claims: dict[str, list[Path]], at: Path
) -> None:
    around = [at, *at.parents]
    nearest = next((f for f in around if any(f in claimed for claimed in claims.values())), None)
    owners = {name for name, claimed in claims.items() if nearest in claimed} or {DEFAULT}
    assert Tenants(claims).of(str(at)) in owners


async def test_a_folder_that_changes_its_tenant_is_written_again_without_embedding(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "docs"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nWhales sing.\n")
    (folder / "inner" / "b.md").write_text("# B\n\nLighthouses shine.\n")
    index = new_index(tmp_path / "data")

    def tenants_of() -> dict[str, str]:
        stored = index.store.points.values()
        return {point.metadata["path"]: point.metadata["tenant"] for point in stored}

    await index.sync(folder)
    assert tenants_of() == {"a.md": DEFAULT, "inner/b.md": DEFAULT}
    index.embeddings.embedded.clear()
    acme = Tenants({"acme": [folder / "inner"]})
    await index.sync(folder, tenants=acme)
    assert tenants_of() == {"a.md": DEFAULT, "inner/b.md": "acme"}
    index.store.upserted.clear()
    await index.sync(folder, tenants=acme)
    assert index.store.upserted == []
    await index.sync(folder)
    assert tenants_of() == {"a.md": DEFAULT, "inner/b.md": DEFAULT}
    assert index.embeddings.embedded == []
    await index.manifest.aclose()
