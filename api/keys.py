"""API keys: kept as hashes in the data folder, made and revoked by ``tandem keys``.

A key is 256 random bits, so one SHA-256 of it is as safe at rest as the key is long: there is
nothing to guess, which slow password hashes are for. The file is small and read again whenever it
changes, so that a running service knows a new key, or a revoked one, at once.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from errors import StoreDamaged, UsageError
from settings import TenantName

Scope = Literal["ask", "read", "write", "admin"]
"""``ask``: questions. ``read``: what is indexed, and the passages themselves. ``write``: uploads,
deletions and syncs within the roots. ``admin``: what acts on the whole service."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
FILE = "keys.json"
PREFIX = "tandem_"
"""So that tools which look for leaked secrets can tell what they have found."""
MAX_KEYS = 1_000


class Key(BaseModel):
    """What is kept of a key: not the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tenant: TenantName = "default"
    scopes: frozenset[Scope] = Field(min_length=1)
    created_at: datetime


_KEYS = TypeAdapter(list[Key])


class KeyRing:
    """The keys of a data folder. Every method reads the file anew if it has changed."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self._stamp: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Key] = {}

    @property
    def in_force(self) -> bool:
        """Whether there are keys, or were: revoking the last one must not let everybody in."""
        self._refresh()
        return self._stamp is not None

    def all(self) -> list[Key]:
        """All keys, the oldest first.

        Raises:
            StoreDamaged: the file cannot be read.
        """
        self._refresh()
        return list(self._by_hash.values())

    def find(self, token: str) -> Key | None:
        """The key that a caller has shown; None where it is none of these.

        Looked up by its hash, so that the time it takes says nothing about any key.

        Raises:
            StoreDamaged: the file cannot be read: then nobody is let in.
        """
        self._refresh()
        return self._by_hash.get(_hash(token))

    def create(self, name: str, scopes: Iterable[Scope], tenant: str = "default") -> str:
        """A new key, which is told here and never again.

        Raises:
            UsageError: the name is taken or no name.
        """
        token = PREFIX + secrets.token_urlsafe(32)
        try:
            key = Key(
                name=name,
                sha256=_hash(token),
                tenant=tenant,
                scopes=frozenset(scopes),
                created_at=datetime.now(UTC).replace(microsecond=0),
            )
        except ValidationError as exc:
            raise UsageError(
                f"{name[:100]!r} cannot name a key: use up to 64 letters, digits, dots, dashes and "
                "underscores."
            ) from exc
        with self._changing() as kept:
            if any(each.name == name for each in kept):
                raise UsageError(
                    f"There is a key {name!r} already: revoke it, or choose another name."
                )
            if len(kept) >= MAX_KEYS:
                raise UsageError(f"There are {MAX_KEYS:,} keys already: revoke those not in use.")
            self._write([*kept, key])
        return token

    def revoke(self, name: str) -> None:
        """Remove a key: whoever shows it is refused from now on.

        Raises:
            UsageError: there is no key of that name.
        """
        with self._changing() as kept:
            left = [key for key in kept if key.name != name]
            if len(left) == len(kept):
                raise UsageError(f"There is no key {name!r}: `tandem keys list` shows all.")
            self._write(left)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """All keys, which no other process changes meanwhile: a revoked key must not come back."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own: that of the keys is replaced by every change.
        with self._path.with_name(f"{FILE}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.all()

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._by_hash = None, {}
            return
        except OSError as exc:
            raise self._unreadable(exc) from exc
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp == self._stamp:
            return
        try:
            keys = _KEYS.validate_json(self._path.read_bytes())
        except (OSError, ValidationError) as exc:
            raise self._unreadable(exc) from exc
        self._by_hash = {key.sha256: key for key in keys}
        self._stamp = stamp

    def _unreadable(self, exc: Exception) -> StoreDamaged:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not what Tandem writes"
        return StoreDamaged(
            f"The API keys in {self._path} cannot be read ({reason}), so nobody is let in. Put it "
            "right, or remove it and make new keys with `tandem keys create`."
        )

    def _write(self, keys: Sequence[Key]) -> None:
        """Replace the file in one step; readable by this machine's user alone."""
        temporary = self._path.with_name(f"{FILE}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(_KEYS.dump_python(list(keys), mode="json"), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
