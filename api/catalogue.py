"""What is indexed of whose documents, and what becomes of one that is to go."""

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.service import Service
from backends.lookup import count_of
from errors import Forbidden, NotFound, UnavailableError
from indexer.records import FileRecord, FileState
from indexer.tenants import Tenants

MOST_LISTED = 10_000
"""Documents in one answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the documents are listed."""

    state: FileState | None = None
    source: str = ""
    """What the source begins with."""
    offset: int = 0
    limit: int = MOST_LISTED


EVERYTHING = Wanted()


async def index_status(
    service: Service, tenant: str | None = None, wanted: Wanted = EVERYTHING
) -> dict[str, Any]:
    """What is indexed, what failed and why: of a tenant, or (None) of all."""
    indexing = service.indexing
    store = service.backends.store
    mine = await documents_of(service, tenant)
    listed = [
        record
        for record in mine
        if wanted.state in (None, record.state) and record.source.startswith(wanted.source)
    ]
    return {
        "documents": [
            shown(record) for record in listed[wanted.offset : wanted.offset + wanted.limit]
        ],
        "total": len(listed),
        "states": dict(Counter(record.state for record in mine)),
        "points": await (store.count() if tenant is None else count_of(store.for_tenant(tenant))),
        "syncing": asdict(indexing.progress) if indexing.progress else None,
        "reindexing": asdict(indexing.reindexed) if indexing.reindexed else None,
        "error": indexing.error,
        "index": await service.freshness(),
        "watching": await _watching(service),
    }


async def documents_of(service: Service, tenant: str | None) -> list[FileRecord]:
    """A tenant's documents, or (None) all; whose a file is, the folder it lies in tells."""
    records = await service.indexing.manifest.documents()
    if tenant is None:
        return records
    tenants = Tenants(service.settings.claims)
    return [record for record in records if tenants.of(str(location(record))) == tenant]


def location(record: FileRecord) -> Path:
    """Where a document's file lies."""
    return Path(record.root, record.path)


async def delete_document(service: Service, tenant: str, source: str) -> str:
    """Delete a document's file and take it out of the index; returns its source.

    Raises:
        NotFound: the tenant has no such document.
        Forbidden: its file was not uploaded, and others may not be deleted.
        UnavailableError: it cannot be deleted, or the index cannot be written.
    """
    found = [each for each in await documents_of(service, tenant) if each.source == source]
    if not found:
        raise NotFound(f"There is no document {source[:200]!r}: GET /documents lists them.")
    settings = service.settings
    paths = [location(record) for record in found]
    if not settings.delete_in_roots:
        uploads = await asyncio.to_thread((settings.uploads / tenant).resolve)
        for path in paths:
            # The folder itself, links followed: what a link leads to is not ours to delete.
            if await asyncio.to_thread(path.parent.resolve) != uploads:
                raise Forbidden(
                    f"{source[:200]!r} was not uploaded but lies in a watched folder: delete the "
                    "file there, and it leaves the index by itself. TANDEM_DELETE_IN_ROOTS=true "
                    "allows it here."
                )
    for path in paths:
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as exc:
            raise UnavailableError(f"{source!r} cannot be deleted: {exc.strerror}.") from exc
    await service.indexing.run(paths, touched=True)
    return source


async def _watching(service: Service) -> list[dict[str, Any]]:
    """How each watched folder is watched, and what keeps it from being synced."""
    checked = await service.indexing.manifest.checked()
    return [folder.status(checked.get(str(folder.root))) for folder in service.follower.folders]


def shown(record: FileRecord) -> dict[str, Any]:
    """What a client may know of a file: not where it lies on this machine."""
    return {
        "source": record.source,
        "state": record.state,
        "reason": record.reason,
        "bytes": record.size,
        "indexed_at": record.indexed_at,
    }
