"""``/reindex``: the index built anew under another embedding model, going back, and tidying up."""

from collections.abc import Callable, Sequence
from functools import partial

from fastapi import APIRouter, Depends
from sse_starlette import EventSourceResponse

from api.documents import progress_events
from api.http.bodies import Body
from api.security import only_local_user
from api.service import Service
from backends.embeddings import EmbeddingModel, create_embeddings
from indexer.index import Index
from indexer.progress import Progress, SyncReport
from indexer.reindex import prune, reindex, rollback
from indexer.sync import RETRY_DELAYS_S
from indexer.tenants import Tenants
from settings import EmbeddingSettings

Advance = Callable[[Progress], None]


class ReindexRequest(Body):
    """The embedding model to use from now on; none means the one that the service embeds with."""

    embeddings: EmbeddingSettings | None = None


class Reindexing:
    """What changes the index under a running service, which answers throughout.

    Models that were opened stay open until the service ends: a run that began before a switch, or
    a rollback, still needs the one before.
    """

    def __init__(
        self, service: Service, *, retry_delays_s: Sequence[float] = RETRY_DELAYS_S
    ) -> None:
        self._service = service
        self._retry_delays_s = retry_delays_s
        self._models = [(service.backends.settings.embeddings, service.backends.embeddings)]

    async def reindex(
        self, wanted: EmbeddingSettings | None, on_progress: Advance | None = None
    ) -> SyncReport | None:
        """Build the index under a model and switch to it; None: it is made with it already.

        Raises: as ``indexer.reindex.reindex``.
        """
        chosen = self._complete(wanted)
        service = self._service

        def advance(progress: Progress) -> None:
            service.indexing.reindexed = progress
            if on_progress is not None:
                on_progress(progress)

        try:
            report = await reindex(
                self._live(),
                self._model(chosen),
                turn=service.indexing.turn,
                switch=self._switch,
                on_progress=advance,
            )
        finally:
            service.indexing.reindexed = None
        if report is None and chosen != service.backends.settings.embeddings:
            await service.reopen(self._model(chosen), chosen)
        return report

    async def rollback(
        self, wanted: EmbeddingSettings | None, on_progress: Advance | None = None
    ) -> SyncReport:
        """Return to the index before, then bring it in line with the disk.

        Raises: as ``indexer.reindex.rollback`` and, once the index is back, as a sync.
        """
        self._model(self._complete(wanted))
        models = [model for _, model in reversed(self._models)]
        await rollback(self._live(), models, turn=self._service.indexing.turn, switch=self._switch)
        return await self._live().sync_covered(on_progress)

    async def prune(self) -> list[str]:
        """Remove every collection but the live one; returns their names."""
        return await prune(self._live())

    def _live(self) -> Index:
        backends = self._service.backends
        return Index(
            store=backends.store,
            embeddings=backends.embeddings,
            sparse=backends.sparse,
            manifest=self._service.indexing.manifest,
            max_file_bytes=backends.settings.max_file_bytes,
            include=backends.settings.include,
            exclude=backends.settings.exclude,
            tenants=Tenants(backends.settings.claims),
            retry_delays_s=self._retry_delays_s,
        )

    def _complete(self, wanted: EmbeddingSettings | None) -> EmbeddingSettings:
        """The settings, with the service's own key where they name its server without one."""
        ours = self._service.backends.settings.embeddings
        if wanted is None:
            return ours
        same_server = (wanted.provider, wanted.base_url) == (ours.provider, ours.base_url)
        if wanted.api_key is None and same_server:
            return wanted.model_copy(update={"api_key": ours.api_key})
        return wanted

    def _model(self, chosen: EmbeddingSettings) -> EmbeddingModel:
        for settings, model in self._models:
            if settings == chosen:
                return model
        cache = self._service.settings.data_dir / "models"
        model = create_embeddings(chosen, cache_dir=cache)
        self._service.opened.push_async_callback(model.aclose)
        self._models.append((chosen, model))
        return model

    def _switch(self, index: Index) -> None:
        chosen = next(s for s, model in self._models if model is index.embeddings)
        backends = self._service.backends.with_index(index.store, index.embeddings, chosen)
        self._service.switch(backends, index.manifest)


def reindex_router(service: Service) -> APIRouter:
    """The router of ``/reindex``."""
    reindexing = Reindexing(service)
    refusal = "Only this machine's user may reindex: use `tandem reindex`, which carries the token."
    local_user = Depends(only_local_user(service, refusal))
    router = APIRouter(prefix="/reindex", tags=["reindex"], dependencies=[local_user])

    @router.post("", response_model=None)
    async def build(request: ReindexRequest) -> EventSourceResponse:
        """Events ``progress``, then ``done`` with the report (null: not needed) or ``error``."""
        return EventSourceResponse(progress_events(partial(reindexing.reindex, request.embeddings)))

    @router.post("/rollback", response_model=None)
    async def go_back(request: ReindexRequest) -> EventSourceResponse:
        """Events as above; the report is of the sync that follows."""
        return EventSourceResponse(
            progress_events(partial(reindexing.rollback, request.embeddings))
        )

    @router.post("/prune")
    async def tidy() -> dict[str, list[str]]:
        """Remove what is kept for a rollback."""
        return {"removed": await reindexing.prune()}

    return router
