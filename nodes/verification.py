"""An answer checked sentence by sentence while it streams: does what it cites say so?

A check begins when its sentence is complete, beside the writing of the next ones, and holds
nothing back: its verdict arrives when it arrives. Sentences that are completed while others are
being checked, or soon after those began, are checked together after them: an answer that is
written faster than people read costs few requests.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from backends.reader import Passage, Reader, Statement
from errors import TandemError
from graph.verdict import Verdict
from nodes.claims import Claim, ClaimReader

THRESHOLD = 0.5
"""The least probability with which a sentence counts as supported."""
WAIT_S = 5.0
"""For verdicts that are still missing when the answer is complete."""
APART_S = 0.2
"""Between the beginnings of two checks of an answer that is still being written."""
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
        self._checks: list[tuple[Claim, asyncio.Future[Verdict]]] = []
        self._waiting: list[_Check] = []
        self._checking: asyncio.Task[None] | None = None
        self._next_at = 0.0  # on the event loop's clock
        self._written = asyncio.Event()

    def feed(self, piece: str, reader: Reader) -> None:
        """Takes the next piece of the answer; starts a check for each sentence it completes."""
        self._begin(self._claims.feed(piece), reader)

    async def finish(self, reader: Reader, wait_s: float = WAIT_S) -> list[tuple[Claim, Verdict]]:
        """Every claim with its verdict, in order; what takes too long is unknown."""
        self._written.set()
        self._begin(self._claims.finish(), reader)
        if self._checks:
            await asyncio.wait([verdict for _, verdict in self._checks], timeout=wait_s)
        return [
            (claim, verdict.result() if verdict.done() else verdict_on(claim, None))
            for claim, verdict in self._checks
        ]

    def cancel(self) -> None:
        """Ends what is still being checked."""
        if self._checking is not None:
            self._checking.cancel()

    def _begin(self, claims: Sequence[Claim], reader: Reader) -> None:
        for claim in claims[: MAX_CLAIMS - len(self._checks)]:
            check = _Check(claim, reader, asyncio.get_running_loop().create_future())
            self._checks.append((claim, check.verdict))
            self._waiting.append(check)
        if self._waiting and (self._checking is None or self._checking.done()):
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        """Checks what waits, all of one reader's together, until nothing does."""
        while self._waiting:
            await self._keep_apart()
            reader = self._waiting[0].reader
            now = [check for check in self._waiting if check.reader is reader]
            self._waiting = [check for check in self._waiting if check.reader is not reader]
            statements = [Statement(check.claim.text, self._numbers(check.claim)) for check in now]
            supports: Sequence[float | None] = [None] * len(now)
            with contextlib.suppress(TandemError):  # unknown is not unsupported
                supports = await reader.verify(self._question, self._passages, statements)
            for check, support in zip(now, supports, strict=True):
                verdict = verdict_on(check.claim, support)
                self._tell(verdict)
                check.verdict.set_result(verdict)

    async def _keep_apart(self) -> None:
        """Waits for its time, or for the end of the answer, to which verdicts belong at once."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._next_at:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_at):
                    await self._written.wait()
        self._next_at = loop.time() + APART_S

    def _numbers(self, claim: Claim) -> list[int]:
        """Of the passages that a claim cites; of all, where it cites none that is there."""
        cited = [n for n in claim.markers if 1 <= n <= len(self._passages)]
        return cited or list(range(1, len(self._passages) + 1))


class _Check(NamedTuple):
    """A claim that is to be checked."""

    claim: Claim
    reader: Reader
    verdict: "asyncio.Future[Verdict]"


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
