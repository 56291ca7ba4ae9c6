"""What answers questions: graphs bound to open backends, and who may ask how much."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from api.admission import Admission
from api.keys import KeyRing
from backends.connections import Backends
from backends.conversations.threads import Threads
from backends.reader import Turn
from graph.builder import RagGraph, build_graph
from graph.context import RagContext
from graph.events import run_events
from graph.freshness import Freshness, without_reason
from graph.question import owned
from graph.step import Event
from graph.turns import turn_kept
from indexer.tenants import DEFAULT
from settings import Settings


@dataclass(slots=True, kw_only=True)
class Answering(ABC):
    """All that a question needs. Who keeps the index, and in which process, is left open.

    Backends and graphs belong to one index; ``answer_from`` replaces them together.
    """

    settings: Settings
    backends: Backends
    threads: Threads
    token: str
    """Known to this machine's user alone; it allows what reads the file system."""
    keys: KeyRing
    """Those that others may show."""
    admission: Admission
    """How many runs there may be; each has a turn, whatever route it came by."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service is about to end: streams without an end of their own end then."""
    measured: Callable[[AsyncGenerator[Event]], AsyncGenerator[Event]] = field(
        default=lambda events: events
    )
    """Hands on the events of every run, and measures them on the way."""
    _graphs: dict[str, RagGraph] = field(default_factory=dict)
    """A tenant's own each, bound to a store that finds that tenant's passages alone."""

    @abstractmethod
    async def freshness(self) -> Freshness:
        """How far the index is behind the folders, whosever they are."""

    async def freshness_for(self, tenant: str) -> Freshness:
        """The same as a tenant may be told of it: nothing that names another's folders."""
        index = await self.freshness()
        theirs = tenant == DEFAULT and not self.settings.tenants
        return index if theirs or not self.keys_needed else without_reason(index)

    def answer(
        self,
        question: object,
        context: RagContext,
        thread: str | None = None,
        *,
        tenant: str | None = None,
        conversation: Sequence[Turn] = (),
    ) -> AsyncGenerator[Event]:
        """The events of a run; on a thread it is a turn of a conversation, after those before it.

        ``conversation`` is what was said before where the client keeps it, and not a thread.
        ``tenant`` is the caller's, never one that a request names; None: the settings' own.
        Threads of the same name are another conversation for each.

        Raises:
            TandemError: the question cannot be taken, there is no room for it, or a backend it
                needs does not answer.
        """
        return self.measured(self._answer(question, context, thread, tenant, conversation))

    async def _answer(
        self,
        question: object,
        context: RagContext,
        thread: str | None,
        tenant: str | None,
        conversation: Sequence[Turn],
    ) -> AsyncGenerator[Event]:
        tenant = tenant or self.settings.tenant
        graph = self.graph_of(tenant)
        if thread is None:
            events = run_events(graph, question, context, conversation=conversation)
        else:
            thread = owned(thread, tenant)
            remembering = graph.copy({"checkpointer": self.threads.checkpointer})
            run = run_events(remembering, question, context, thread=thread)
            events = turn_kept(
                run,
                graph=remembering,
                threads=self.threads,
                thread=thread,
                model=self.backends.language_model,
            )
        turn = self.threads.turn(thread) if thread else contextlib.nullcontext()
        async with self.admission.turn(turn), contextlib.aclosing(events):
            async for event in events:
                yield event

    def answer_from(self, backends: Backends) -> None:
        """Answer from another index from now on; runs under way end on the one they began with."""
        self.backends = backends
        self._graphs.clear()

    @property
    def graph(self) -> RagGraph:
        """The graph of the settings' tenant."""
        return self.graph_of(self.settings.tenant)

    def graph_of(self, tenant: str) -> RagGraph:
        """The graph that answers from this tenant's documents."""
        if tenant not in self._graphs:
            backends = replace(self.backends, store=self.backends.store.for_tenant(tenant))
            self._graphs[tenant] = build_graph(backends, partial(self.freshness_for, tenant))
        return self._graphs[tenant]

    @property
    def keys_needed(self) -> bool:
        """Whether only those are let in who show an API key.

        Where others can reach the service, removing the file of the keys must not let them in.
        """
        settings = self.settings
        if settings.require_keys or self.keys.in_force:
            return True
        return settings.open_to_others and not settings.allow_unauthenticated

    def context(self) -> RagContext:
        """The knobs of a run as the settings have them."""
        return RagContext.of(self.settings)
