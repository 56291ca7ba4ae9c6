"""A worker: answers from its leader's index, which it neither reads from a disk nor changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

from api.answering import Answering
from api.keys import KeyRing
from api.workers.channel import Channel
from api.workers.turns import LeadersAdmission
from backends.connections import connect
from backends.conversations.threads import open_threads
from backends.embeddings import EmbeddingModel, create_embeddings
from backends.visibility import Visibility
from errors import TandemError
from graph.freshness import Freshness, unknown_freshness
from settings import EmbeddingSettings, Settings

_FRESHNESS_WITHIN_S = 1.0
"""An answer is worth more than the age of what it was made from."""


@dataclass(slots=True, kw_only=True)
class WorkerService(Answering):
    """What answers in a worker. Its leader says from what, and what of it is hidden."""

    leader: Channel
    opened: contextlib.AsyncExitStack
    has_index: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the leader has said which index to answer from."""
    models: list[tuple[EmbeddingSettings, EmbeddingModel]]
    """Those that were in use stay open: a run may still need them, and a rollback brings them
    back."""

    async def freshness(self) -> Freshness:
        """As the leader knows it; what nobody knows where it does not say."""
        try:
            told: Freshness = await self.leader.call("freshness", within_s=_FRESHNESS_WITHIN_S)
        except TandemError:
            reason = "The process that watches the folders did not say how they are."
            return {**await unknown_freshness(), "reason": reason}
        return told

    def take_index(self, told: dict[str, Any]) -> None:
        """Answer from this index from now on; runs under way end on the one they began with."""
        chosen = EmbeddingSettings.model_validate(told["embeddings"])
        model = self._model(chosen)
        store = self.backends.store.beside(told["collection"], model)
        store.visibility = Visibility(told["hidden"])
        self.answer_from(self.backends.with_index(store, model, chosen))
        self.has_index.set()

    def exchange(self, told: dict[str, list[str]]) -> Awaitable[None]:
        """Hide and show, now; what it returns is done when no search sees it otherwise."""
        return self.backends.store.visibility.exchange(told["hide"], told["show"])

    def _model(self, chosen: EmbeddingSettings) -> EmbeddingModel:
        for settings, model in self.models:
            if settings == chosen:
                return model
        model = create_embeddings(chosen, cache_dir=self.settings.data_dir / "models")
        self.opened.push_async_callback(model.aclose)
        self.models.append((chosen, model))
        return model


@contextlib.asynccontextmanager
async def open_worker(
    settings: Settings, token: str, leader: Channel
) -> AsyncIterator[WorkerService]:
    """Open what answering needs, once the leader has said from what; close it at the end.

    Raises:
        TandemError: the conversations cannot be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        backends = connect(settings)
        stack.push_async_callback(backends.aclose)
        service = WorkerService(
            settings=settings,
            backends=backends,
            threads=await stack.enter_async_context(open_threads(settings)),
            token=token,
            keys=KeyRing(settings.data_dir),
            admission=LeadersAdmission(leader),
            leader=leader,
            opened=stack,
            models=[(settings.embeddings, backends.embeddings)],
        )
        leader.handlers["index"] = service.take_index
        leader.handlers["exchange"] = service.exchange
        leader.tell("join")
        await service.has_index.wait()
        yield service
