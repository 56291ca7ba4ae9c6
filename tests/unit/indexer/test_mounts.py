from pathlib import Path

import pytest

from indexer.mounts import silent_file_system

MOUNTS = """22 1 0:21 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / {folder}/share rw - nfs4 server:/export rw
31 22 0:31 / {folder}/share/local rw shared:7 - ext4 /dev/vdb rw
32 22 0:32 / {folder}/my\\040disk rw - fuse.sshfs me@there: rw
33 22 0:33 / {folder}/over rw - 9p host rw
34 22 0:34 / {folder}/over rw - tmpfs none rw
35 22 0:35 / {folder}/guest rw - vboxsf guest rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS.format(folder=tmp_path))
    return file


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("", ""),
        ("share", "nfs4"),
        ("share/notes/deep", "nfs4"),
        ("share/local/notes", ""),
        ("my disk/notes", "fuse.sshfs"),
        ("over", ""),
        ("guest", "vboxsf"),
        ("shared", ""),
    ],
)
def test_the_innermost_and_latest_mount_around_a_folder_decides(
    mounts: Path, folder: str, kind: str
) -> None:
    assert silent_file_system(mounts.parent / folder, mounts=mounts) == kind


def test_without_a_list_of_mounts_events_are_tried(tmp_path: Path) -> None:
    assert silent_file_system(tmp_path, mounts=tmp_path / "none") == ""


def test_the_folders_of_this_machine_tell_of_their_changes(tmp_path: Path) -> None:
    assert silent_file_system(tmp_path) == ""
