"""``/documents``: what is indexed, how fresh it is, syncing and watching it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.bodies import Body
from api.security import Caller, only_local_user, permit, requires
from api.service import Service
from backends.lookup import count_of
from errors import TandemError
from indexer.records import FileRecord
from indexer.sync import Progress, SyncReport
from indexer.tenants import Tenants


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
    local_user = only_local_user(
        service,
        "Only this machine's user may sync: use `tandem index` or `tandem watch`, which carry the "
        "service's token.",
    )

    @router.get("")
    async def documents(
        caller: Annotated[Caller, Depends(requires(service, "read"))],
        everybodys: Annotated[bool, Query(alias="all")] = False,
    ) -> dict[str, Any]:
        """Counts, every document's state, how fresh the index is, and how syncing goes.

        With ``all``, which needs the scope ``admin``, the documents of every tenant.
        """
        if everybodys:
            permit(caller, "admin")
        return await index_status(service, None if everybodys else caller.tenant)

    @router.post("/sync", response_model=None, dependencies=[Depends(local_user)])
    async def sync(request: SyncRequest) -> EventSourceResponse:
        """Sync paths; events ``progress``, then one ``done`` with the report or ``error``."""
        paths = request.paths or service.settings.folders
        run = partial(service.indexing.run, paths, wait=request.wait)
        return EventSourceResponse(progress_events(run))

    @router.post("/watch", response_model=None, dependencies=[Depends(local_user)])
    async def watch(request: WatchRequest) -> EventSourceResponse:
        """Watch paths while the client reads: ``watching``, ``synced``, ``paused`` and others."""
        return EventSourceResponse(_followed(service, request.paths or service.settings.folders))

    return router


async def index_status(service: Service, tenant: str | None = None) -> dict[str, Any]:
    """What is indexed, what failed and why: of a tenant, or (None) of all."""
    indexing = service.indexing
    store = service.backends.store
    whose = Tenants(service.settings.tenants)
    return {
        "documents": [
            _shown(record)
            for record in await indexing.manifest.documents()
            if tenant in (None, whose.of(f"{record.root}/{record.path}"))
        ],
        "points": await (store.count() if tenant is None else count_of(store.for_tenant(tenant))),
        "syncing": asdict(indexing.progress) if indexing.progress else None,
        "reindexing": asdict(indexing.reindexed) if indexing.reindexed else None,
        "error": indexing.error,
        "index": await service.freshness(),
        "watching": await _watching(service),
    }


async def _watching(service: Service) -> list[dict[str, Any]]:
    """How each watched folder is watched, and what keeps it from being synced."""
    checked = await service.indexing.manifest.checked()
    return [folder.status(checked.get(str(folder.root))) for folder in service.follower.folders]


def _shown(record: FileRecord) -> dict[str, Any]:
    """What a client may know of a file: not where it lies on this machine."""
    return {
        "source": record.source,
        "state": record.state,
        "reason": record.reason,
        "bytes": record.size,
        "indexed_at": record.indexed_at,
    }


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
