"""How the index does, as one caller may be told of it."""

from typing import Any

from api.catalogue import EVERYTHING, Wanted, index_status
from api.security import Caller
from api.service import Service


async def status_for(
    service: Service, caller: Caller, wanted: Wanted = EVERYTHING, *, everybodys: bool = False
) -> dict[str, Any]:
    """``index_status`` of the caller's documents, or of everybody's where that is permitted.

    Without the scope ``admin``, which this machine's user and a service without keys imply,
    nothing in it tells of other tenants' files and folders.
    """
    status = await index_status(service, None if everybodys else caller.tenant, wanted)
    if "admin" in caller.scopes:
        return status
    index = await service.freshness_for(caller.tenant)
    syncing = status["syncing"] and {**status["syncing"], "current": ""}
    return {**status, "index": index, "syncing": syncing, "error": "", "watching": []}
