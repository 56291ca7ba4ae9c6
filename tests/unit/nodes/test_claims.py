"""Answers cut into claims, whole and while they are written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.claims import Claim, ClaimReader, claims, without

MARKER = re.compile(r"\s?\[\d{1,3}(?:\s*,\s*\d{1,3})*\]")
ANSWER = (
    "Bees fly at 25 km/h. [1] A queen lays 2,000 eggs a day [2]. Nobody knows why! [1, 3]\n\n"
    "## Ants\n\n- They carry much [4]\n- They dig.\n"
)


def said(found: list[Claim]) -> list[tuple[str, tuple[int, ...]]]:
    return [(claim.text, claim.markers) for claim in found]


def words_of(found: list[Claim]) -> list[str]:
    return re.findall(r"\w+", " ".join(claim.text for claim in found))


def test_markers_belong_to_the_sentence_they_follow_before_or_after_its_full_stop() -> None:
    assert said(claims(ANSWER)) == [
        ("Bees fly at 25 km/h.", (1,)),
        ("A queen lays 2,000 eggs a day.", (2,)),
        ("Nobody knows why!", (1, 3)),
        ("- They carry much", (4,)),
        ("- They dig.", ()),
    ]


def test_headings_and_what_holds_no_letter_are_no_claims() -> None:
    assert claims("# Title\n\n---\n\n42. [1]\n\n[2]") == []


@given(
    st.lists(
        st.sampled_from([*ANSWER.split(" "), "[9]", "e.g.", "\n", "ß。", "U.S."]), max_size=40
    ),
    st.integers(1, 7),
)
def test_the_claims_of_a_stream_are_those_of_the_whole_answer(words: list[str], size: int) -> None:
    answer = " ".join(words)
    reader = ClaimReader()
    streamed: list[Claim] = []
    for start in range(0, len(answer), size):
        streamed += reader.feed(answer[start : start + size])
    streamed += reader.finish()
    assert all(
        answer[claim.start : claim.end].strip() == answer[claim.start : claim.end]
        and " ".join(MARKER.sub("", answer[claim.start : claim.end]).split()) == claim.text
        for claim in streamed
    )
    assert words_of(streamed) == words_of(claims(answer))


def test_a_claim_is_complete_when_the_next_sentence_begins_and_its_markers_have_come() -> None:
    reader = ClaimReader()
    assert reader.feed("Bees fly at 25 km/h.") == []
    assert reader.feed(" [1]") == []
    assert said(reader.feed(" A queen")) == [("Bees fly at 25 km/h.", (1,))]
    assert said(reader.finish()) == [("A queen", ())]


@pytest.mark.parametrize(
    ("struck", "kept"),
    [
        ([0], "A queen lays 2,000 eggs a day [2]. Nobody knows why! [1, 3]"),
        ([1], "Bees fly at 25 km/h. [1] Nobody knows why! [1, 3]"),
        ([1, 2], "Bees fly at 25 km/h. [1]"),
    ],
)
def test_struck_claims_leave_with_their_markers(struck: list[int], kept: str) -> None:
    answer = ANSWER.partition("\n")[0]
    found = claims(answer)
    assert without(answer, [found[n] for n in struck]) == kept


def test_striking_every_claim_leaves_nothing() -> None:
    answer = ANSWER.partition("\n")[0]
    assert without(answer, claims(answer)) == ""
