import asyncio
from itertools import islice

import pytest

from errors import EmbeddingsUnavailable, StoreDamaged, VectorStoreUnavailable
from indexer.patience import Backoff, patiently
from indexer.progress import Meter, Progress

PROMPT_S = 5.0
"""Far above what is needed, far below the waits that must not be waited for."""


class Backend:
    """Fails as told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_waits_double_up_to_a_longest_one_and_are_shortened_by_chance_alone() -> None:
    waits = list(islice(Backoff(0.5, 30), 200))
    for number, wait in enumerate(waits):
        full = min(0.5 * 2**number, 30)
        assert full / 2 <= wait <= full
    assert len({round(wait, 6) for wait in waits}) > 150


async def test_a_pause_is_told_with_its_reason_and_so_is_its_end() -> None:
    told: list[str] = []
    backend = Backend(EmbeddingsUnavailable("asleep"), VectorStoreUnavailable("away"))
    answer = await patiently(
        backend.ask, delays_s=(0, 0), on_pause=lambda who, reason: told.append(reason)
    )
    assert answer == "answer"
    assert told == ["asleep", "away", ""]


async def test_after_the_last_wait_the_error_is_raised() -> None:
    backend = Backend(*[EmbeddingsUnavailable("asleep")] * 9)
    with pytest.raises(EmbeddingsUnavailable, match="asleep"):
        await patiently(backend.ask, delays_s=(0, 0), on_pause=lambda *_: None)
    assert backend.asked == 3


async def test_what_waiting_does_not_mend_is_not_waited_for() -> None:
    backend = Backend(StoreDamaged("broken"))
    with pytest.raises(StoreDamaged):
        await patiently(backend.ask, delays_s=Backoff(), on_pause=lambda *_: None)
    assert backend.asked == 1


async def test_being_told_to_stop_ends_a_pause_at_once_without_another_attempt() -> None:
    backend = Backend(*[EmbeddingsUnavailable("asleep")] * 9)
    stopping, paused = asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(
        patiently(
            backend.ask,
            delays_s=(60.0,),
            on_pause=lambda who, reason: paused.set(),
            stopping=stopping,
        )
    )
    await asyncio.wait_for(paused.wait(), PROMPT_S)
    stopping.set()
    with pytest.raises(EmbeddingsUnavailable):
        await asyncio.wait_for(waiting, PROMPT_S)
    assert backend.asked == 1


async def test_cancelling_ends_a_pause_at_once() -> None:
    paused = asyncio.Event()
    waiting = asyncio.create_task(
        patiently(
            Backend(EmbeddingsUnavailable("asleep")).ask,
            delays_s=(60.0,),
            on_pause=lambda who, reason: paused.set(),
        )
    )
    await asyncio.wait_for(paused.wait(), PROMPT_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, PROMPT_S)


def test_of_two_who_wait_the_reason_of_the_one_who_still_does_is_told() -> None:
    told: list[Progress] = []
    meter = Meter(told.append)
    meter.pause("store", "the store is away")
    meter.pause("model", "the model is asleep")
    meter.pause("store", "")
    meter.pause("other", "")  # one that never waited changes nothing
    assert [progress.paused for progress in told][-1] == "the model is asleep"
    meter.pause("model", "")
    assert told[-1].paused == ""
