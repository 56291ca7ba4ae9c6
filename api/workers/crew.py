"""The leader's end of its workers: started, started anew, told what changes, and ended."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from prometheus_client import Metric

from api.service import Service
from api.workers import measuring
from api.workers.member import Member
from backends.connections import Backends
from errors import UnavailableError
from indexer.following import report_bug
from indexer.patience import Backoff, is_set_within
from settings import written_out

log = logging.getLogger("tandem")

_MOST_FAILURES = 5
"""Starts in a row that come to nothing before the service gives up."""
_STEADY_S = 10.0
"""A worker that answered for so long has not failed to start."""
_EXIT_WITHIN_S = 10.0
_BEYOND_A_SEARCH_S = 5.0
"""What a worker may take, beside the longest search, to say that it has hidden something."""


class Crew:
    """The workers of one service, for which it keeps the index. ``at_work`` starts and ends them.

    It is what ``backends.visibility`` calls ``Elsewhere``, and ``api.service`` its ``Others``.
    Every change goes to all workers in the same step of the event loop as it is made here, and
    each of them handles it in its order.
    """

    def __init__(
        self, service: Service, listener: socket.socket, private: str, wanted: int
    ) -> None:
        """``private`` is the path of the socket at which the service itself listens."""
        self._service = service
        self._visibility = service.backends.store.visibility
        self._listener = listener
        self._wanted = wanted
        self._welcome = {
            "settings": written_out(service.settings),
            "token": service.token,
            "leader": private,
        }
        self._members: set[Member] = set()
        self._joined: set[Member] = set()
        """Those that have an index, so that they must know what is hidden in it."""
        self._retired: list[Metric] = []
        self._acknowledged_within_s = service.settings.qdrant.timeout_s + _BEYOND_A_SEARCH_S
        self._failures = 0
        self._ending = asyncio.Event()
        self._all_ready = asyncio.Event()
        self._keeping: set[asyncio.Task[None]] = set()
        self._failure = ""

    @contextlib.asynccontextmanager
    async def at_work(
        self, on_ready: Callable[[], None], on_failure: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Keep as many workers as are wanted for as long as the block runs; then none is left.

        ``on_ready`` is called once all of them answer, ``on_failure`` when there is no hope.

        Raises:
            UnavailableError: at the end of the block: there was no hope.
        """
        self._service.others = self
        self._visibility.elsewhere = self
        self._keeping = {
            asyncio.create_task(self._keep(on_failure), name="keep a worker")
            for _ in range(self._wanted)
        }
        announcing = asyncio.create_task(self._announce(on_ready), name="wait for the workers")
        for task in (*self._keeping, announcing):
            task.add_done_callback(report_bug)
        try:
            yield
        finally:
            self.kill()
            for task in (*self._keeping, announcing):
                task.cancel()
            await asyncio.wait(self._keeping)
            self._visibility.elsewhere = self._service.others = None
        if self._failure:
            raise UnavailableError(self._failure)

    def drain(self, within_s: float) -> None:
        """They begin no run any more, and end in so many seconds those that have begun."""
        self._ending.set()
        for member in self._members:
            if member.ready.is_set():
                member.channel.tell("drain", within_s)
            else:
                member.kill()

    async def aclose(self) -> None:
        """End them all, by force those that do not end soon."""
        self._ending.set()
        for member in self._members:
            member.channel.tell("exit")
        await asyncio.wait(self._keeping, timeout=_EXIT_WITHIN_S)
        self.kill()

    def kill(self) -> None:
        """End them at once."""
        self._ending.set()
        for member in self._members:
            member.kill()

    # what they are told

    def exchange(self, ids: Collection[str], instead_of: Collection[str]) -> Awaitable[None]:
        """See ``Elsewhere``. Whoever does not answer in time is ended."""
        message = {"hide": list(ids), "show": list(instead_of)}
        within_s = self._acknowledged_within_s
        calls = {
            member: member.channel.call("exchange", message, within_s=within_s)
            for member in self._joined
        }
        return self._acknowledged(calls)

    def forget(self, ids: Collection[str]) -> None:
        """See ``Elsewhere``."""
        if ids:
            for member in self._joined:
                member.channel.tell("exchange", {"hide": [], "show": list(ids)})

    def answer_from(self, backends: Backends) -> None:
        """See ``Others``."""
        self._visibility.elsewhere = None
        self._visibility = backends.store.visibility
        self._visibility.elsewhere = self
        message = _index(backends)
        for member in self._joined:
            member.channel.tell("index", message)

    async def measurements(self) -> list[list[Metric]]:
        """See ``Others``."""
        ready = [member for member in self._members if member.ready.is_set()]
        told = await asyncio.gather(*(member.measurements() for member in ready))
        return [*told, self._retired]

    def state(self) -> dict[str, int]:
        """See ``Others``."""
        ready = sum(member.ready.is_set() for member in self._members)
        return {"wanted": self._wanted, "ready": ready}

    async def _acknowledged(self, calls: dict[Member, asyncio.Future[None]]) -> None:
        answers = await asyncio.gather(*calls.values(), return_exceptions=True)
        for member, answer in zip(calls, answers, strict=True):
            if isinstance(answer, BaseException):
                if not self._ending.is_set():
                    log.error("Worker %d is ended: %s", member.pid, answer)
                await member.killed()

    # keeping them

    async def _keep(self, on_failure: Callable[[], None]) -> None:
        """One after the other, until the crew ends."""
        waits = iter(Backoff(0.2))
        while not self._ending.is_set():
            begun = time.monotonic()
            was_ready = await self._lived()
            if self._ending.is_set():
                return
            self._failures = 0 if was_ready else self._failures + 1
            if self._is_hopeless():
                self._failure = (
                    "The workers end as soon as they are started; the lines above tell why. Put "
                    "that right, or start `tandem serve` without --workers."
                )
                on_failure()
                return
            if time.monotonic() - begun >= _STEADY_S:
                waits = iter(Backoff(0.2))
            await is_set_within(self._ending, next(waits))

    async def _lived(self) -> bool:
        """A worker, from its start to its end; whether it was ever ready."""
        service = self._service
        try:
            member = await Member.start(self._listener, service.admission, self._welcome)
        except OSError as exc:
            log.error("A worker cannot be started: %s.", exc.strerror)  # noqa: TRY400 - no traceback
            return False
        member.channel.handlers["join"] = lambda _: self._join(member)
        member.channel.handlers["freshness"] = lambda _: service.freshness()
        self._members.add(member)
        if self._ending.is_set():
            member.kill()
        watching = asyncio.create_task(self._tell_when_ready(member))
        try:
            await member.ended()
        finally:
            watching.cancel()
            self._joined.discard(member)
            self._members.discard(member)
            self._retire(member)
        if not self._ending.is_set():
            log.error("Worker %d has ended. Another one is started.", member.pid)
        return member.ready.is_set()

    def _join(self, member: Member) -> None:
        """Tell a worker what there is, and from here on, in the same step, what changes."""
        member.channel.tell("index", _index(self._service.backends))
        self._joined.add(member)

    async def _tell_when_ready(self, member: Member) -> None:
        await member.ready.wait()
        log.info("Worker %d answers.", member.pid)
        if self.state()["ready"] == self._wanted:
            self._all_ready.set()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await self._all_ready.wait()
        on_ready()

    def _is_hopeless(self) -> bool:
        enough = self._failures >= _MOST_FAILURES
        return enough and not (self._all_ready.is_set() and self.state()["ready"])

    def _retire(self, member: Member) -> None:
        """Counts only grow: what an ended worker has counted is kept, as far as it is known."""
        counted = measuring.counts(member.measured)
        known = {metric.name for metric in self._retired}
        kept = measuring.Summed(self._retired, [counted]).collect()
        self._retired = [*kept, *(each for each in counted if each.name not in known)]


def _index(backends: Backends) -> dict[str, Any]:
    """The index that is answered from, as workers are told of it."""
    return {
        "collection": backends.store.collection_name,
        "embeddings": written_out(backends.settings.embeddings),
        "hidden": list(backends.store.visibility.hidden),
    }
