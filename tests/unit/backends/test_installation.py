"""One secret an installation, for its user's eyes only."""

import stat
from pathlib import Path

import pytest

from backends.installation import installation_secret


def only_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_it_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = installation_secret(folder)
    assert len(secret) == 32
    assert installation_secret(folder) == secret
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600


def test_two_installations_have_two(tmp_path: Path) -> None:
    assert installation_secret(tmp_path / "a") != installation_secret(tmp_path / "b")


@pytest.mark.parametrize("damaged", [b"", b"short"])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    secret = installation_secret(tmp_path)
    only_file(tmp_path).write_bytes(damaged)
    assert installation_secret(tmp_path) not in {secret, damaged, b""}


def test_a_folder_that_cannot_be_written_to_gives_one_for_the_process(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert len(installation_secret(blocked)) == 32
    assert installation_secret(blocked) != installation_secret(blocked)
