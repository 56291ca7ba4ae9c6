"""Which points a search may see, so that a document changes from one version to the next at once.

A store holds points of two versions for a while: the new ones are written before the old ones go.
What must not be seen is *hidden*: every search leaves it out by a filter. Changing what is hidden
is one step on the event loop, between two searches; what a search found hidden when it began stays
hidden for it until it ends. Points are therefore

    hidden -> written -> shown        and, in the step that shows them, the old version's
                         hidden -> deleted -> forgotten

and before any is written or deleted, the searches that began under another state have ended.
The scheme is read-copy-update (McKenney and Slingwine, *Read-Copy Update*, 1998), and it needs
points that never change: another payload has another id. It holds for the searches of this process
and for those ``Elsewhere`` that are told of every change. Any other reader of the collection sees
the new points first and the old ones until they are deleted.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Collection, Iterator
from typing import Protocol

from qdrant_client import models


class Elsewhere(Protocol):
    """Other processes whose searches leave out the same points."""

    def exchange(self, ids: Collection[str], instead_of: Collection[str]) -> Awaitable[object]:
        """Told in the step in which points are hidden here, and others shown.

        What it returns is awaited: it is done when no search is left there that may see what is
        hidden now. It must not fail, and must end.
        """
        ...

    def forget(self, ids: Collection[str]) -> None:
        """Told when points need not be hidden any longer."""
        ...


class Visibility:
    """What searches of one collection leave out. For one event loop; nothing here blocks it."""

    def __init__(self, hidden: Collection[str] = ()) -> None:
        self.elsewhere: Elsewhere | None = None
        self._hidden: set[str] = set(hidden)
        self._condition: models.HasIdCondition | None = None
        self._searches: set[asyncio.Event] = set()

    @property
    def hidden(self) -> frozenset[str]:
        """The ids that no search sees now."""
        return frozenset(self._hidden)

    @contextlib.contextmanager
    def searching(self, where: models.Filter) -> Iterator[models.Filter]:
        """For the time in which the store is asked: the filter with what is hidden left out.

        Everything found within one block is of the same moment. Hold it over calls of the store
        only: whoever replaces a document waits for its end.
        """
        ended = asyncio.Event()
        self._searches.add(ended)
        try:
            yield self._without_hidden(where)
        finally:
            self._searches.discard(ended)
            ended.set()

    def conceal(self, ids: Collection[str]) -> None:
        """Hides points that nobody can be looking at, such as those left behind by a crash."""
        self._hidden.update(ids)
        self._condition = None

    async def hide(self, ids: Collection[str], *, instead_of: Collection[str] = ()) -> None:
        """Hides points that are about to be written or deleted; in the same step others appear.

        Returns when no search is left that may see what is hidden now.
        """
        if self.elsewhere is None:
            await self.exchange(ids, instead_of)
        else:
            await asyncio.gather(
                self.exchange(ids, instead_of), self.elsewhere.exchange(ids, instead_of)
            )

    def exchange(self, ids: Collection[str], instead_of: Collection[str]) -> Awaitable[None]:
        """``hide`` in one step; what it returns is done when ``hide`` would return."""
        self._show(instead_of)
        self.conceal(ids)
        return _all_set(tuple(self._searches) if ids else ())

    def forget(self, ids: Collection[str]) -> None:
        """Hides these no longer, such as what the store holds no more."""
        self._show(ids)
        if self.elsewhere is not None:
            self.elsewhere.forget(ids)

    def _show(self, ids: Collection[str]) -> None:
        self._hidden.difference_update(ids)
        self._condition = None

    def _without_hidden(self, where: models.Filter) -> models.Filter:
        if not self._hidden:
            return where
        if self._condition is None:
            # checked ids of our own: validating thousands of them would cost each change
            self._condition = models.HasIdCondition.model_construct(has_id=list(self._hidden))
        return models.Filter(must=[where], must_not=[self._condition])


async def _all_set(events: Collection[asyncio.Event]) -> None:
    for event in events:
        await event.wait()
