"""Aliases of the embedded client against ``qdrant_client``'s own local mode: same calls, same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from backends.qdrant_edge.client import EdgeClient
from errors import SettingsError, StoreDamaged, StoreLocked, UsageError

VECTORS = {"dense": models.VectorParams(size=2, distance=models.Distance.COSINE)}
COLLECTIONS = ("books-1", "books-2")
NAMES = ["books", "papers", "books-1", "books-2", "nowhere"]
Client = EdgeClient | QdrantClient


def create(alias: str, collection: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(
        create_alias=models.CreateAlias(alias_name=alias, collection_name=collection)
    )


def delete(alias: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


def rename(old: str, new: str) -> models.RenameAliasOperation:
    names = models.RenameAlias(old_alias_name=old, new_alias_name=new)
    return models.RenameAliasOperation(rename_alias=names)


def fill(client: Client) -> None:
    """Two collections, each with a point that says whose it is."""
    for number, name in enumerate(COLLECTIONS):
        client.create_collection(name, vectors_config=VECTORS)
        point = models.PointStruct(id=number, vector={"dense": [1, 0]}, payload={"of": name})
        client.upsert(name, [point])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EdgeClient, QdrantClient]]:
    edge, local = EdgeClient(tmp_path_factory.mktemp("edge")), QdrantClient(":memory:")
    for client in (edge, local):
        fill(client)
    yield edge, local
    edge.close()
    local.close()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeClient]:
    client = EdgeClient(tmp_path)
    fill(client)
    yield client
    client.close()


def state(client: Client) -> dict[str, str]:
    aliases = {a.alias_name: a.collection_name for a in client.get_aliases().aliases}
    for name in COLLECTIONS:
        of_one = client.get_collection_aliases(name).aliases
        assert {a.alias_name for a in of_one} == {a for a, c in aliases.items() if c == name}
    return aliases


def outcome(client: Client, operations: list[models.AliasOperations]) -> object:
    """What the call returns, or that it was refused."""
    try:
        return client.update_collection_aliases(operations)
    except (UsageError, ValueError):
        return "refused"


names = st.sampled_from(NAMES)
operations = st.lists(
    st.one_of(
        st.builds(create, names, names), st.builds(delete, names), st.builds(rename, names, names)
    ),
    max_size=4,
)


@given(st.lists(operations, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_any_sequence_of_changes_leads_to_the_same_aliases(
    shared: tuple[EdgeClient, QdrantClient], rounds: list[list[models.AliasOperations]]
) -> None:
    for client in shared:
        present = client.get_aliases().aliases
        client.update_collection_aliases([delete(alias.alias_name) for alias in present])
    for changes in rounds:
        assert outcome(shared[0], changes) == outcome(shared[1], changes)
        assert state(shared[0]) == state(shared[1])
        for name in NAMES:
            assert len({client.collection_exists(name) for client in shared}) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.count("books").count,
        lambda client: client.retrieve("books", [1])[0].payload,
        lambda client: client.scroll("books")[0][0].payload,
        lambda client: client.query_points("books", [1.0, 0.0], using="dense").points[0].payload,
        lambda client: client.get_collection("books").points_count,
        lambda client: client.delete("books", [1]).status and client.count("books-2").count,
        lambda client: sorted(c.name for c in client.get_collections().collections),
        lambda client: client.delete_collection("books"),
    ],
)
def test_an_alias_stands_wherever_a_name_does(
    tmp_path: Path, call: Callable[[Any], object]
) -> None:
    answers = []
    for client in (EdgeClient(tmp_path), QdrantClient(":memory:")):
        fill(client)
        client.update_collection_aliases([create("books", "books-2")])
        answers.append(call(client))
        client.close()
    assert answers[0] == answers[1]


def test_an_alias_survives_closing_and_goes_with_its_collection(
    edge: EdgeClient, tmp_path: Path
) -> None:
    edge.update_collection_aliases([create("books", "books-2"), create("papers", "books-1")])
    edge.close()
    again = EdgeClient(tmp_path)
    assert again.retrieve("books", [1])[0].payload == {"of": "books-2"}
    assert again.delete_collection("books-2")
    assert state_of(again) == {"papers": "books-1"}
    assert not again.collection_exists("books")
    again.close()


def state_of(client: Client) -> dict[str, str]:
    return {a.alias_name: a.collection_name for a in client.get_aliases().aliases}


def test_another_process_sees_a_flip_at_once(edge: EdgeClient, tmp_path: Path) -> None:
    edge.update_collection_aliases([create("books", "books-1")])
    other = EdgeClient(tmp_path)
    assert state_of(other) == {"books": "books-1"}
    edge.update_collection_aliases([delete("books"), create("books", "books-2")])
    assert state_of(other) == {"books": "books-2"}


def test_a_refused_change_changes_nothing(edge: EdgeClient, tmp_path: Path) -> None:
    edge.update_collection_aliases([create("books", "books-1")])
    before = (tmp_path / ".aliases.json").read_bytes()
    with pytest.raises(UsageError, match="no collection 'nowhere'"):
        edge.update_collection_aliases([delete("books"), create("books", "nowhere")])
    assert (tmp_path / ".aliases.json").read_bytes() == before


def test_a_half_written_file_of_aliases_is_never_read(edge: EdgeClient, tmp_path: Path) -> None:
    edge.update_collection_aliases([create("books", "books-1")])
    (tmp_path / ".aliases.json.new").write_text('{"aliases": {"boo')
    assert state_of(edge) == {"books": "books-1"}
    edge.update_collection_aliases([create("papers", "books-2")])
    assert json.loads((tmp_path / ".aliases.json").read_text())["aliases"] == state_of(edge)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"aliases": 3}', b"\xff\x00"])
def test_a_damaged_file_of_aliases_is_named_with_the_way_out(
    edge: EdgeClient, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / ".aliases.json").write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"\.aliases\.json cannot be read\. Move it away"):
        edge.get_aliases()


def test_a_new_collection_cannot_take_the_name_of_an_alias(edge: EdgeClient) -> None:
    edge.update_collection_aliases([create("books", "books-1")])
    with pytest.raises(UsageError, match="exists already"):
        edge.create_collection("books", vectors_config=VECTORS)


def test_a_collection_open_elsewhere_is_neither_deleted_nor_renamed(
    edge: EdgeClient, tmp_path: Path
) -> None:
    other = EdgeClient(tmp_path)
    with pytest.raises(StoreLocked):
        other.delete_collection("books-1")
    with pytest.raises(StoreLocked):
        other.rename_collection("books-1", "books-9")
    assert edge.retrieve("books-1", [0])[0].payload == {"of": "books-1"}


def test_what_a_killed_deletion_left_goes_with_the_next(edge: EdgeClient, tmp_path: Path) -> None:
    left = tmp_path / ".books-0.deleted"
    left.mkdir()
    edge.delete_collection("books-1")
    assert not left.exists()
    assert not list(tmp_path.glob(".*.deleted"))


def test_an_alias_cannot_be_a_path(edge: EdgeClient) -> None:
    with pytest.raises(SettingsError):
        edge.update_collection_aliases([create("../books", "books-1")])
