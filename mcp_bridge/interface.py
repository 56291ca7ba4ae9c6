"""What the bridge needs of a Tandem: plain values in the HTTP API's shapes. Light to import."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol


class Library(Protocol):
    """Documents to search, read and ask. ``backends.running_server.RunningServer`` is one, too.

    Every method raises TandemError with a message that says what to do.
    """

    async def search(
        self, query: str, *, k: int, filters: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """``passages``, best first, a ``notice`` and ``index``, as ``POST /search`` has them."""
        ...

    async def passage(self, passage_id: str, *, before: int, after: int) -> dict[str, Any]:
        """A ``passage`` and those ``before`` and ``after`` it, as ``GET /passages/ID`` has them."""
        ...

    async def document(self, source: str, *, start: int, limit: int) -> dict[str, Any]:
        """A document's ``passages`` and the ``next``, as ``GET /passages`` has them."""
        ...

    async def documents(self) -> dict[str, Any]:
        """What is indexed and how that goes, as ``GET /documents`` has it."""
        ...

    def ask(
        self,
        question: str,
        *,
        filters: dict[str, Any] | None = None,
        thread: str | None = None,
    ) -> AsyncGenerator[tuple[str, Any]]:
        """The events of a run: name and data. Closing the generator ends the run."""
        ...
