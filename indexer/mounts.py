"""Where the operating system tells of no change to a file: network, container and guest mounts."""

import sys
from pathlib import Path

_SILENT = {
    "9p", "afs", "ceph", "cifs", "coda", "davfs", "drvfs", "fakeowner", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
}  # fmt: skip
"""File systems whose files change on another machine, which the kernel of this one never hears."""
_MOUNTS = Path("/proc/self/mountinfo")


def silent_file_system(folder: Path, *, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that holds a folder if it tells of no changes; else empty.

    Known on Linux alone; elsewhere the setting has to say it. The format of the list of mounts is
    in proc_pid_mountinfo(5).
    """
    if sys.platform != "linux":
        return ""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found = {
        Path(_unescaped(before.split()[4])): after.split()[0]
        for before, dash, after in (line.partition(" - ") for line in lines)
        if dash
    }  # of two mounts on one place, the later one hides the other
    real = folder.resolve()
    kind = next((found[place] for place in (real, *real.parents) if place in found), "")
    return kind if kind in _SILENT or kind.startswith("fuse.") else ""


def _unescaped(place: str) -> str:
    """A path with its spaces, tabs, newlines and backslashes, which are written in octal."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(code, letter)
    return place
