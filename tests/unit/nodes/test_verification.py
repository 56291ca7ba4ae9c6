"""Answers checked sentence by sentence while they stream."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import nodes.verification
from backends.reader import Passage, Statement
from errors import LanguageModelUnavailable
from graph.verdict import Verdict
from nodes.verification import MAX_CLAIMS, verifying
from tests.fakes import ScriptedReader, passage

BEES = passage("Bees fly as fast as 25 km/h.")
ANTS = passage("Ants carry fifty times their weight.")


async def test_each_sentence_is_checked_against_what_it_cites_and_told_at_once() -> None:
    told: list[Any] = []
    reader = ScriptedReader(supports={"Ants fly.": 0.1})
    async with verifying("How fast?", [BEES, ANTS], told.append) as verification:
        for piece in ("Bees are fast", ". [1] Ants fly [2].", " Really", "."):
            verification.feed(piece, reader)
        await asyncio.sleep(0)
        assert [verdict["sentence"] for verdict in told] == ["Bees are fast.", "Ants fly."]
        checked = await verification.finish(reader)
    assert reader.verified == [("Bees are fast.", [1]), ("Ants fly.", [2]), ("Really.", [1, 2])]
    assert [(v["support"], v["supported"], v["markers"]) for _, v in checked] == [
        (1.0, True, [1]), (0.1, False, [2]), (1.0, True, []),
    ]  # fmt: skip
    assert told == [verdict for _, verdict in checked]


async def test_a_marker_that_points_at_nothing_is_not_looked_up() -> None:
    reader = ScriptedReader()
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        verification.feed("Bees are fast [7].", reader)
        await verification.finish(reader)
    assert reader.verified == [("Bees are fast.", [1])]


async def test_what_cannot_be_told_is_unknown_and_not_unsupported() -> None:
    reader = ScriptedReader(error=LanguageModelUnavailable("It is down."))
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        verification.feed("Bees are fast [1].", reader)
        ((_, verdict),) = await verification.finish(reader)
    assert (verdict["support"], verdict["supported"]) == (None, None)


class StuckReader(ScriptedReader):
    """Never tells, and remembers that it was stopped."""

    stopped = 0

    async def verify(self, *_: Any) -> list[float | None]:
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped += 1
        return []


async def test_a_check_that_hangs_holds_nothing_up_and_ends_with_the_run() -> None:
    reader = StuckReader()
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        verification.feed("Bees are fast [1].", reader)
        ((_, verdict),) = await verification.finish(reader, wait_s=0.01)
        assert verdict["supported"] is None
    await asyncio.sleep(0)
    assert reader.stopped == 1


async def test_an_answer_without_end_is_not_checked_without_end() -> None:
    reader = ScriptedReader()
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        verification.feed("Bees are fast [1].\n" * (MAX_CLAIMS + 5), reader)
        assert len(await verification.finish(reader)) == MAX_CLAIMS


@pytest.mark.parametrize("claim", ["Bees fly as fast as 25 km/h.", "fly as fast as 25  km/h"])
async def test_the_extractive_reader_supports_what_is_quoted(claim: str) -> None:
    from backends.extractive.reader import ExtractiveReader
    from tests.fakes import WordEmbeddings

    reader = ExtractiveReader(WordEmbeddings())
    statements = [Statement(claim, [2]), Statement(claim, [1])]
    quoted, other = await reader.verify("How fast?", [ANTS, BEES], statements)
    assert quoted == 1.0
    assert other is not None
    assert other < 0.5


class SlowReader(ScriptedReader):
    """Checks when it is told to, and remembers what it was given together."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.together: list[list[str]] = []

    async def verify(
        self, question: str, passages: Sequence[Passage], statements: Sequence[Statement]
    ) -> list[float | None]:
        self.together.append([text for text, _ in statements])
        await self.go.wait()
        return await super().verify(question, passages, statements)


async def test_sentences_written_during_a_check_are_checked_together_after_it() -> None:
    reader = SlowReader()
    told: list[Verdict] = []
    async with verifying("How fast?", [BEES], told.append) as verification:
        verification.feed("Bees are fast. [1] Then they", reader)
        await asyncio.sleep(0)
        verification.feed(" rest. [1] They sleep. [1] Bees", reader)
        verification.feed(" wake. [1]", reader)
        finishing = asyncio.create_task(verification.finish(reader))
        await asyncio.sleep(0)
        reader.go.set()
        checked = await finishing
    assert reader.together == [
        ["Bees are fast."],
        ["Then they rest.", "They sleep.", "Bees wake."],
    ]
    assert [verdict["sentence"] for verdict in told] == [claim.text for claim, _ in checked]


async def test_checks_of_what_is_written_fast_are_apart_but_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes.verification, "APART_S", 3600.0)
    reader = SlowReader()
    reader.go.set()
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        for piece in ("Bees are fast. [1] Then they", " rest. [1] They", " sleep. [1] Bees"):
            verification.feed(piece, reader)
            for _ in range(20):
                await asyncio.sleep(0)
        assert reader.together == [["Bees are fast."]]
        await verification.finish(reader)
    assert reader.together[1:] == [["Then they rest.", "They sleep.", "Bees"]]


async def test_what_is_written_after_a_while_is_checked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes.verification, "APART_S", 0.01)
    reader = SlowReader()
    reader.go.set()
    async with verifying("How fast?", [BEES], list[Any]().append) as verification:
        verification.feed("Bees are fast. [1] Then they", reader)
        await asyncio.sleep(0.02)
        verification.feed(" rest. [1] They sleep", reader)
        for _ in range(20):
            await asyncio.sleep(0)
        assert reader.together == [["Bees are fast."], ["Then they rest."]]
