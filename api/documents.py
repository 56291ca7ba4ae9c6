"""``/documents``: what is indexed, how fresh it is; uploading, deleting, syncing, watching."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, UploadFile
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.bodies import Body
from api.catalogue import (
    MOST_LISTED,
    Wanted,
    delete_document,
    index_status,
    location,
    shown,
)
from api.security import Caller, only_local_user, permit, require_local_user, requires
from api.service import Service
from api.uploads import folder_of, keep, safe_name
from errors import TandemError, UploadError
from indexer.records import FileState
from indexer.sync import Progress, SyncReport

log = logging.getLogger("tandem")

_OTHER_PATHS = (
    "Only this machine's user may have other paths synced or watched: use `tandem index` or "
    "`tandem watch`, which carry the service's token."
)


class SyncRequest(Body):
    """The paths to bring the index in line with; none means the configured roots."""

    paths: list[Path] = Field([], max_length=100)
    wait: bool = False
    """Wait for a backend that does not answer, without end."""


class WatchRequest(Body):
    """The paths to watch for as long as the request lasts; none means the configured roots."""

    paths: list[Path] = Field([], max_length=100)


def documents_router(service: Service) -> APIRouter:
    """The router of ``/documents``."""
    router = APIRouter(prefix="/documents", tags=["documents"])
    reading, writing = Depends(requires(service, "read")), Depends(requires(service, "write"))
    local_user = only_local_user(service, _OTHER_PATHS)

    @router.get("")
    async def documents(
        caller: Annotated[Caller, reading],
        state: FileState | None = None,
        source: Annotated[str, Query(max_length=4_000, description="What it begins with.")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
        everybodys: Annotated[bool, Query(alias="all")] = False,
    ) -> dict[str, Any]:
        """The caller's documents with their states, how fresh the index is, how syncing goes.

        With ``all``, which needs the scope ``admin``, the documents of every tenant.
        """
        if everybodys:
            permit(caller, "admin")
        tenant = None if everybodys else caller.tenant
        status = await index_status(service, tenant, Wanted(state, source, offset, limit))
        if "admin" not in caller.scopes:  # these tell of other tenants' folders
            status |= {"error": "", "watching": []}
        return status

    @router.post("", status_code=HTTPStatus.CREATED)
    async def upload(
        file: UploadFile,
        caller: Annotated[Caller, writing],
        replace: bool = False,
        wait: bool = False,
    ) -> dict[str, Any]:
        """Take a file into the caller's uploads and index it; ``wait`` answers when that is done.

        The answer is the document as ``GET /documents`` lists it.
        """
        folder = folder_of(service.settings, caller.tenant)
        name = safe_name(file.filename)
        path = await asyncio.to_thread(keep, file.file, folder, name, replace=replace)
        return await _indexed(service, path, wait=wait)

    @router.delete("/{source:path}")
    async def delete(source: str, caller: Annotated[Caller, writing]) -> dict[str, str]:
        """Delete an uploaded document, its file included, and take it out of the index."""
        return {"deleted": await delete_document(service, caller.tenant, source)}

    @router.post("/sync", response_model=None)
    async def sync(
        request: SyncRequest,
        caller: Annotated[Caller, writing],
        authorization: Annotated[str, Header()] = "",
    ) -> EventSourceResponse:
        """Sync; events ``progress``, then one ``done`` with the report or ``error``.

        Without paths, what the service indexes anyway; others are for this machine's user.
        """
        if request.paths:
            require_local_user(service, authorization, _OTHER_PATHS)
        paths = request.paths or [*service.settings.folders, *_existing(service.settings.uploads)]
        run = partial(service.indexing.run, paths, wait=request.wait)
        return EventSourceResponse(progress_events(run))

    @router.post("/watch", response_model=None, dependencies=[Depends(local_user)])
    async def watch(request: WatchRequest) -> EventSourceResponse:
        """Watch paths while the client reads: ``watching``, ``synced``, ``paused`` and others."""
        return EventSourceResponse(_followed(service, request.paths or service.settings.folders))

    return router


def _existing(folder: Path) -> list[Path]:
    return [folder] if folder.is_dir() else []


async def _indexed(service: Service, path: Path, *, wait: bool) -> dict[str, Any]:
    """An uploaded file as it is listed: indexed by now, or to be indexed soon."""
    uploads = await asyncio.to_thread(service.settings.uploads.resolve)
    source = f"{uploads.name}/{path.relative_to(uploads).as_posix()}"
    syncing = asyncio.create_task(service.indexing.run([uploads]))
    service.at_work.add(syncing)
    syncing.add_done_callback(service.at_work.discard)
    if not wait:
        syncing.add_done_callback(_log_failure)
        size = (await asyncio.to_thread(path.stat)).st_size
        return {"source": source, "state": "pending", "reason": "", "bytes": size}
    await asyncio.shield(syncing)
    for record in await service.indexing.manifest.documents():
        if location(record) == path:
            return shown(record)
    raise UploadError(
        f"{source!r} is stored, and TANDEM_INCLUDE or TANDEM_EXCLUDE leaves it out of the index."
    )


def _log_failure(syncing: "asyncio.Task[SyncReport]") -> None:
    if not syncing.cancelled() and (exc := syncing.exception()) is not None:
        log.error("An uploaded file could not be indexed yet: %s", exc)


async def _followed(service: Service, paths: list[Path]) -> AsyncIterator[ServerSentEvent]:
    async with contextlib.aclosing(service.follow(paths)) as events:
        async for event in events:
            yield ServerSentEvent(event=event.name, data=json.dumps(event.data))
    yield ServerSentEvent(event="done", data="{}")


async def progress_events(
    run: Callable[[Callable[[Progress], None]], Awaitable[SyncReport | None]],
) -> AsyncIterator[ServerSentEvent]:
    """A sync's events. Progress that a slow reader has not fetched is replaced by newer."""
    latest: asyncio.Queue[Progress] = asyncio.Queue(1)

    def advance(progress: Progress) -> None:
        if latest.full():
            latest.get_nowait()
        latest.put_nowait(progress)

    task = asyncio.ensure_future(run(advance))
    try:
        while not task.done():
            getter = asyncio.ensure_future(latest.get())
            await asyncio.wait({getter, task}, return_when=asyncio.FIRST_COMPLETED)
            if getter.done():
                yield ServerSentEvent(event="progress", data=json.dumps(asdict(getter.result())))
            getter.cancel()
        report = task.result()
        yield ServerSentEvent(event="done", data=json.dumps(asdict(report) if report else None))
    except TandemError as exc:
        body = {"code": exc.code, "message": str(exc), "exit_code": exc.exit_code}
        yield ServerSentEvent(event="error", data=json.dumps(body))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TandemError):
            await task
