"""A file that is sent: read once its sender may write, and indexed when it is stored."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.catalogue import location, shown
from api.service import Service
from errors import TooBusy, UploadError
from indexer.records import FileRecord
from indexer.sync import SyncReport

log = logging.getLogger("tandem")

FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
"""What a route that takes a file says of it in ``openapi.json``."""
_MOST_AT_WORK = 100
"""Stored files that may wait for being indexed."""
_RETRY_AFTER_S = 5


@contextlib.asynccontextmanager
async def sent_file(request: Request) -> AsyncIterator[UploadFile]:
    """The file in a request's form, which is read by this, and removed at the end.

    A parameter of the route would be read before any dependency: a stranger's file too.

    Raises:
        UploadError: there is no form, it is no valid one, or no file is in it.
    """
    form = request.form(max_files=1, max_fields=10)
    try:
        fields = await form
    except HTTPException as exc:
        if exc.status_code != HTTPStatus.BAD_REQUEST:
            raise
        raise UploadError(f"The form cannot be read: {exc.detail}") from exc
    except (ValueError, LookupError) as exc:  # of a content type that is no content type
        raise UploadError("The form cannot be read: its Content-Type is not valid.") from exc
    try:
        file = fields.get("file")
        if not isinstance(file, UploadFile):
            raise UploadError(
                "There is no file: send it with its name as the part `file` of a form, as "
                "`curl -F file=@report.pdf` does."
            )
        yield file
    finally:
        await fields.close()


def require_room(service: Service) -> None:
    """Refuse a file while many are waiting.

    Raises:
        TooBusy: come again later.
    """
    if len(service.at_work) >= _MOST_AT_WORK:
        raise TooBusy(
            f"{_MOST_AT_WORK} files wait for being indexed. Try again in {_RETRY_AFTER_S} s.",
            retry_after_s=_RETRY_AFTER_S,
        )


async def indexed(service: Service, path: Path, *, wait: bool) -> dict[str, Any]:
    """A stored file as it is listed: indexed by now, or to be indexed soon.

    Raises:
        UploadError: it is never indexed.
        TandemError: with ``wait``: it could not be indexed yet.
    """
    uploads = await asyncio.to_thread(service.settings.uploads.resolve)
    source = f"{uploads.name}/{path.relative_to(uploads).as_posix()}"
    syncing = asyncio.create_task(_sync(service, uploads, path))
    service.at_work.add(syncing)
    syncing.add_done_callback(service.at_work.discard)
    if not wait:
        syncing.add_done_callback(_log_failure)
        size = (await asyncio.to_thread(path.stat)).st_size
        return {"source": source, "state": "pending", "reason": "", "bytes": size}
    await asyncio.shield(syncing)
    if (record := await _record(service, path)) is not None:
        return shown(record)
    raise UploadError(
        f"{source!r} is stored, and TANDEM_INCLUDE or TANDEM_EXCLUDE leaves it out of the index."
    )


async def _sync(service: Service, uploads: Path, path: Path) -> SyncReport:
    """Brings the index in line with one file of the uploads, as a watcher would.

    Only where the uploads are no root yet are they synced whole: a document's source begins with
    the name of the folder that was indexed.
    """
    known = await service.indexing.manifest.roots()
    if all(Path(root.path) != uploads for root in known):
        return await service.indexing.run([uploads])
    await service.backends.store.require_fit()  # a whole sync would look, one of a change does not
    return await service.indexing.run([path], touched=True)


async def _record(service: Service, path: Path) -> FileRecord | None:
    """What the manifest holds of one file."""
    manifest = service.indexing.manifest
    for root in await manifest.roots():
        if path.is_relative_to(root.path):
            below = path.relative_to(root.path).as_posix()
            for record in await manifest.files(root.path, below):
                if location(record) == path:
                    return record
    return None


def _log_failure(syncing: "asyncio.Task[SyncReport]") -> None:
    if not syncing.cancelled() and (exc := syncing.exception()) is not None:
        log.error("An uploaded file could not be indexed yet: %s", exc)
