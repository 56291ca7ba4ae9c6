"""``/documents``: what is indexed, how fresh it is; uploading, deleting, syncing, watching."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.catalogue import (
    MOST_LISTED,
    Wanted,
    delete_document,
)
from api.http.bodies import Body
from api.receiving import FORM, indexed, require_room, sent_file
from api.security import Caller, only_local_user, permit, require_local_user, requires
from api.service import Service
from api.status import status_for
from api.uploads import folder_of, folders_of, keep, safe_name
from errors import TandemError
from indexer.records import FileState
from indexer.sync import Progress, SyncReport

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
        wanted = Wanted(state, source, offset, limit)
        return await status_for(service, caller, wanted, everybodys=everybodys)

    @router.post("", status_code=HTTPStatus.CREATED, openapi_extra=FORM)
    async def upload(
        request: Request,
        caller: Annotated[Caller, writing],
        replace: bool = False,
        wait: bool = False,
    ) -> dict[str, Any]:
        """Take a file into the caller's uploads and index it; ``wait`` answers when that is done.

        The answer is the document as ``GET /documents`` lists it.
        """
        folder = folder_of(service.settings, caller.tenant)
        require_room(service)
        async with sent_file(request) as file:
            name = safe_name(file.filename)
            path = await asyncio.to_thread(keep, file.file, folder, name, replace=replace)
        return await indexed(service, path, wait=wait)

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

        Without paths, what the service indexes anyway: the caller's folders, or everybody's with
        the scope ``admin``, which alone is told of single files. Other paths are for this
        machine's user.
        """
        if request.paths:
            require_local_user(service, authorization, _OTHER_PATHS)
        sees_all = "admin" in caller.scopes
        folders = await asyncio.to_thread(
            folders_of, service.settings, None if sees_all else caller.tenant
        )
        run = partial(service.indexing.run, request.paths or folders, wait=request.wait)
        return EventSourceResponse(progress_events(run, names=sees_all))

    @router.post("/watch", response_model=None, dependencies=[Depends(local_user)])
    async def watch(request: WatchRequest) -> EventSourceResponse:
        """Watch paths while the client reads: ``watching``, ``synced``, ``paused`` and others."""
        return EventSourceResponse(_followed(service, request.paths or service.settings.folders))

    return router


async def _followed(service: Service, paths: list[Path]) -> AsyncIterator[ServerSentEvent]:
    async with contextlib.aclosing(service.follow(paths)) as events:
        async for event in events:
            yield ServerSentEvent(event=event.name, data=json.dumps(event.data))
    yield ServerSentEvent(event="done", data="{}")


async def progress_events(
    run: Callable[[Callable[[Progress], None]], Awaitable[SyncReport | None]],
    *,
    names: bool = True,
) -> AsyncIterator[ServerSentEvent]:
    """A sync's events. Progress that a slow reader has not fetched is replaced by newer.

    Without ``names`` they tell of no single file.
    """
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
                progress = getter.result() if names else replace(getter.result(), current="")
                yield ServerSentEvent(event="progress", data=json.dumps(asdict(progress)))
            getter.cancel()
        report = task.result()
        if report is not None and not names:
            report = replace(report, failed=[], skipped=[], changes=[])
        yield ServerSentEvent(event="done", data=json.dumps(asdict(report) if report else None))
    except TandemError as exc:
        body = {"code": exc.code, "message": str(exc), "exit_code": exc.exit_code}
        yield ServerSentEvent(event="error", data=json.dumps(body))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TandemError):
            await task
