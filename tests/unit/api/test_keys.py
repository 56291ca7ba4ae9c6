"""API keys at rest: made, found, revoked, and what becomes of a damaged file."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.keys import FILE, PREFIX, KeyRing
from errors import StoreDamaged, UsageError


def test_a_key_is_found_and_the_file_does_not_hold_it(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    assert not ring.in_force
    token = ring.create("laptop", ["ask", "read"], "acme")
    assert token.startswith(PREFIX)
    found = ring.find(token)
    assert found is not None
    assert (found.name, found.tenant, found.scopes) == (
        "laptop",
        "acme",
        frozenset(["ask", "read"]),
    )
    assert ring.find(token + "x") is None
    assert token not in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_another_process_sees_new_and_revoked_keys_at_once(tmp_path: Path) -> None:
    service, command = KeyRing(tmp_path), KeyRing(tmp_path)
    tokens = [command.create(name, ["ask"]) for name in ("one", "two")]
    assert [bool(service.find(token)) for token in tokens] == [True, True]
    command.revoke("one")
    assert [bool(service.find(token)) for token in tokens] == [False, True]


def test_revoking_the_last_key_lets_nobody_in(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.create("only", ["ask"])
    ring.revoke("only")
    assert ring.all() == []
    assert ring.in_force


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "../x", "a\n", "ä"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    ring = KeyRing(tmp_path)
    with pytest.raises(UsageError, match="cannot name a key"):
        ring.create(name, ["ask"])
    assert not ring.in_force


def test_a_name_is_given_once_and_an_unknown_one_cannot_be_revoked(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.create("laptop", ["ask"])
    with pytest.raises(UsageError, match="already"):
        ring.create("laptop", ["ask"])
    with pytest.raises(UsageError, match="no key 'phone'"):
        ring.revoke("phone")


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[1]", json.dumps([{"name": "x", "sha256": "0", "scopes": ["ask"]}]), "[[]]"],
)
def test_a_damaged_file_lets_nobody_in_and_names_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    ring = KeyRing(tmp_path)
    for ask in (lambda: ring.find("x"), lambda: ring.in_force, ring.all):
        with pytest.raises(StoreDamaged, match=FILE):
            ask()


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StoreDamaged):
        KeyRing(tmp_path).create("x", ["ask"])
    assert (tmp_path / FILE).read_text() == "{"


def test_changes_at_the_same_time_lose_no_key_and_bring_none_back(tmp_path: Path) -> None:
    for number in range(8):
        KeyRing(tmp_path).create(f"old-{number}", ["ask"])

    def change(number: int) -> None:
        KeyRing(tmp_path).create(f"new-{number}", ["ask"])
        KeyRing(tmp_path).revoke(f"old-{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(8)))
    assert sorted(key.name for key in KeyRing(tmp_path).all()) == [f"new-{n}" for n in range(8)]
