"""A service in this process as a library."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from api.run import Run
from api.search import document_passages, passage_around, search_passages
from api.security import Caller, permit
from api.service import Service
from api.status import status_for
from backends.filters import SearchFilters, read_filters


@dataclass(frozen=True, slots=True)
class ServiceLibrary:
    """A service in this process, as far as a caller may use it."""

    service: Service
    caller: Caller

    async def search(
        self, query: str, *, k: int, filters: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        permit(self.caller, "read")
        await self.service.admission.check(self.caller.name)
        return await search_passages(
            self.service, self.caller.tenant, query, k=k, filters=_read(filters)
        )

    async def passage(self, passage_id: str, *, before: int, after: int) -> dict[str, Any]:
        permit(self.caller, "read")
        return await passage_around(
            self.service, self.caller.tenant, passage_id, before=before, after=after
        )

    async def document(self, source: str, *, start: int, limit: int) -> dict[str, Any]:
        permit(self.caller, "read")
        return await document_passages(
            self.service, self.caller.tenant, source, start=start, limit=limit
        )

    async def documents(self) -> dict[str, Any]:
        permit(self.caller, "read")
        return await status_for(self.service, self.caller)

    async def ask(
        self,
        question: str,
        *,
        filters: dict[str, Any] | None = None,
        thread: str | None = None,
    ) -> AsyncGenerator[tuple[str, Any]]:
        permit(self.caller, "ask")
        await self.service.admission.check(self.caller.name)
        context = self.service.context().model_copy(update={"filters": _read(filters)})
        events = self.service.answer(question, context, thread, tenant=self.caller.tenant)
        async with Run(events) as run:  # the SDK cancels again and again what it cancels
            async for batch in run.batches():
                for event in batch:
                    yield event["event"], event["data"]


def _read(filters: dict[str, Any] | None) -> SearchFilters | None:
    return read_filters(filters) if filters else None
