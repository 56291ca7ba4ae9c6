"""Files that were uploaded: named, checked and put into their tenant's folder, all or nothing."""

import hashlib
import os
import re
import secrets
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from errors import Conflict, ParsingError, UnavailableError, UploadError
from indexer.formats.decoding import decode
from indexer.suffixes import NOT_TEXT, Parser, format_of
from indexer.tenants import DEFAULT
from settings import Settings

MAX_NAME_BYTES = 200
_PIECE = 1 << 20
_HIDDEN = ".upload-"
"""Begins the name of a file that is not complete yet: hidden files are not indexed."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names of devices, should the folder ever be copied to Windows."""
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BEGINNINGS: dict[Parser, bytes] = {
    "docx": _ZIP, "pptx": _ZIP, "xlsx": _ZIP, "odt": _ZIP, "odp": _ZIP, "ods": _ZIP, "epub": _ZIP,
    "doc": _OLE, "ppt": _OLE, "msg": _OLE, "rtf": b"{\\rtf", "pdf": b"%PDF-",
}  # fmt: skip
"""What files that are no text begin with. A PDF may hold other bytes before it, up to a kilobyte:
readers take that, so it is looked for there."""


def folder_of(settings: Settings, tenant: str) -> Path:
    """Where a tenant's uploads lie: in a folder of its own each, the default tenant's as well.

    If they lay beside the other tenants' folders, a file could bear the name of one, and belong
    to that tenant.

    Raises:
        UploadError: no folder belongs to the tenant, so what lay there would belong to another.
    """
    if tenant != DEFAULT and tenant not in settings.tenants:
        raise UploadError(
            f"The tenant {tenant!r} has no documents of its own: name its folders in "
            f"TANDEM_TENANTS__{tenant.upper()} first."
        )
    return settings.uploads / tenant


def folders_of(settings: Settings, tenant: str | None) -> list[Path]:
    """What the service indexes for a tenant, or (None) for all. Touches the disk."""
    if tenant is None:
        own = settings.folders
    else:
        own = settings.roots if tenant == DEFAULT else settings.tenants.get(tenant, [])
    # All uploads: a document's source begins with the name of the folder that was indexed.
    return [*own, *([settings.uploads] if settings.uploads.is_dir() else [])]


def safe_name(given: str | None) -> str:
    """The name to keep a file by: the last part of what was given, without what deceives.

    Raises:
        UploadError: nothing is left, or nothing that a file can be called.
    """
    last = PureWindowsPath(PurePosixPath(given or "").name).name
    text = unicodedata.normalize("NFC", last.encode(errors="ignore").decode())
    # Control and format characters: line breaks, bidirectional overrides, invisible joiners.
    text = "".join(char for char in text if unicodedata.category(char)[0] != "C")
    text = _FORBIDDEN.sub("_", text).strip().strip(" .")
    stem, dot, suffix = text.rpartition(".")
    if not dot:
        stem, suffix = text, ""
    room = MAX_NAME_BYTES - len(f"{dot}{suffix}".encode())
    stem = stem.encode()[: max(room, 0)].decode(errors="ignore").strip().rstrip(" .")
    name = f"{stem}{dot}{suffix}"
    if not stem or _RESERVED.match(name) or room <= 0:
        raise UploadError(
            f"{(given or '')[:100]!r} cannot name a document: give the file a name such as "
            "report.pdf."
        )
    return name


def keep(content: BinaryIO, folder: Path, name: str, *, replace: bool) -> Path:
    """Put a file into a folder under its name, whole or not at all; returns where it is.

    Blocks: not for the event loop.

    The same file again is no error and changes nothing.

    Raises:
        UploadError: it is empty, or not what its name says.
        Conflict: there is another file of that name, and it is not to be replaced.
        UnavailableError: it cannot be written.
    """
    target = folder / name
    temporary = folder / f"{_HIDDEN}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            digest = _write(content, temporary)
            check_content(temporary, name)
            if target.is_symlink() or (target.exists() and not target.is_file()):
                raise Conflict(f"{name!r} is in the way and is no file: choose another name.")
            if target.exists() and not replace and _digest(target) != digest:
                raise Conflict(
                    f"There is a document {name!r} already. Choose another name, or say "
                    "replace=true to put this one in its place."
                )
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise UnavailableError(f"{name!r} cannot be stored: {exc.strerror}.") from exc
    return target.resolve()


def check_content(path: Path, name: str) -> None:
    """Whether a file is what its name says, as far as its bytes tell.

    Raises:
        UploadError: it is empty, of a kind that holds no text, or something else.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in NOT_TEXT:
        raise UploadError(f"Files that end in {suffix} hold no text that could be cited.")
    kind = format_of(name)
    beginning = _BEGINNINGS.get(kind)
    if beginning is None:
        _check_text(path, name)
        return
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        raise UploadError(f"{name!r} is empty.")
    if not (beginning in head if kind == "pdf" else head.startswith(beginning)):
        raise UploadError(
            f"{name!r} is no {kind} file, whatever its name says: give it the suffix of what it is."
        )


def _check_text(path: Path, name: str) -> None:
    data = path.read_bytes()
    try:
        if not decode(data).strip():
            raise UploadError(f"{name!r} is empty.")
    except ParsingError as exc:
        raise UploadError(
            f"{name!r} cannot be read as text: {exc}. Give it the suffix of what it is, such as "
            ".pdf, or save it as UTF-8."
        ) from exc


def _write(content: BinaryIO, path: Path) -> bytes:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(_PIECE):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
