"""The secret of this installation, which marks quoted text in prompts."""

import os
import secrets
from pathlib import Path

_FILE = "installation-secret"
_BYTES = 32


def installation_secret(data_dir: Path) -> bytes:
    """The secret in the data folder, made on first use and readable by its user alone.

    A folder that cannot be written to gives a secret for this process: prompts are as safe with
    it, and a server's prefix cache starts cold with the next process. Reads a file: not for the
    event loop.
    """
    path = data_dir / _FILE
    if (known := _read(path)) is not None:
        return known
    new = secrets.token_bytes(_BYTES)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_FILE}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(new)
        temporary.replace(path)
    except OSError:
        return new
    return _read(path) or new  # of two processes that make one, the last has made it for both


def _read(path: Path) -> bytes | None:
    """None where there is none, or one that a full disk has cut short."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    return found if len(found) == _BYTES else None
