"""A real PostgreSQL of the test run's own, in a temporary folder, on a free loopback port."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_STARTED_WITHIN_S = "30"


def postgres_programs() -> Path | None:
    """The folder of the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def running_postgres(programs: Path, folder: Path, port: int) -> Iterator[str]:
    """Its address, while it runs. The server refuses to run as root: then it runs as postgres."""
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    user = as_user if os.geteuid() == 0 else []
    data = folder / "data"
    folder.mkdir()
    if user:
        shutil.chown(folder, "postgres", "postgres")

    def run(*command: object) -> None:
        subprocess.run(  # noqa: S603 - programs of the distribution
            [*user, *(str(part) for part in command)],
            check=True, timeout=90, cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    run(programs / "initdb", "-D", data, "-U", "tandem", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {folder}"
    control = (programs / "pg_ctl", "-D", data, "-w", "-t", _STARTED_WITHIN_S)
    run(*control, "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql://tandem:secret@127.0.0.1:{port}/postgres"
    finally:
        run(*control, "-m", "immediate", "stop")
