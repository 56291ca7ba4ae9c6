"""An answer checked sentence by sentence while it streams: does what it cites say so?

A check begins when its sentence is complete, beside the writing of the next ones, and holds
nothing back: its verdict arrives when it arrives.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from backends.reader import Passage, Reader
from errors import TandemError
from graph.verdict import Verdict
from nodes.claims import Claim, ClaimReader

THRESHOLD = 0.5
"""The least probability with which a sentence counts as supported."""
WAIT_S = 5.0
"""For verdicts that are still missing when the answer is complete."""
MAX_CLAIMS = 40
"""Sentences of one answer that are checked; a model that never stops must not cost without end."""


class Verification:
    """The checks of one answer. Use ``verifying``, which ends them with the run."""

    def __init__(
        self, question: str, passages: Sequence[Passage], tell: Callable[[Verdict], None]
    ) -> None:
        self._question = question
        self._passages = passages
        self._tell = tell
        self._claims = ClaimReader()
        self._checks: list[tuple[Claim, asyncio.Task[Verdict]]] = []

    def feed(self, piece: str, reader: Reader) -> None:
        """Takes the next piece of the answer; starts a check for each sentence it completes."""
        self._begin(self._claims.feed(piece), reader)

    async def finish(self, reader: Reader, wait_s: float = WAIT_S) -> list[tuple[Claim, Verdict]]:
        """Every claim with its verdict, in order; what takes too long is unknown."""
        self._begin(self._claims.finish(), reader)
        if self._checks:
            await asyncio.wait([task for _, task in self._checks], timeout=wait_s)
        return [
            (claim, task.result() if task.done() else verdict_on(claim, None))
            for claim, task in self._checks
        ]

    def cancel(self) -> None:
        """Ends what is still being checked."""
        for _, task in self._checks:
            task.cancel()

    def _begin(self, claims: Sequence[Claim], reader: Reader) -> None:
        for claim in claims[: MAX_CLAIMS - len(self._checks)]:
            self._checks.append((claim, asyncio.create_task(self._check(claim, reader))))

    async def _check(self, claim: Claim, reader: Reader) -> Verdict:
        cited = [n for n in claim.markers if 1 <= n <= len(self._passages)]
        numbers = cited or list(range(1, len(self._passages) + 1))
        try:
            support = await reader.verify(self._question, self._passages, claim.text, numbers)
        except TandemError:  # unknown is not unsupported
            support = None
        verdict = verdict_on(claim, support)
        self._tell(verdict)
        return verdict


def verdict_on(claim: Claim, support: float | None) -> Verdict:
    """What a probability says about a claim."""
    return Verdict(
        sentence=claim.text,
        markers=list(claim.markers),
        support=None if support is None else round(support, 3),
        supported=None if support is None else support >= THRESHOLD,
    )


@contextlib.asynccontextmanager
async def verifying(
    question: str, passages: Sequence[Passage], tell: Callable[[Verdict], None]
) -> AsyncIterator[Verification]:
    """A verification whose checks end with the block."""
    verification = Verification(question, passages, tell)
    try:
        yield verification
    finally:
        verification.cancel()
