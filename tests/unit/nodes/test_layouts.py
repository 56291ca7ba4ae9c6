"""The answer's prompt begins as the graded one did, wherever that pays."""

import pytest

from backends.reader import Passage
from nodes.layouts import REMEMBERED, Layout, Layouts
from tests.fakes import passage

FOUND = [passage(f"fact {number}") for number in range(1, 7)]


def layout_for(documents: list[Passage]) -> Layout | None:
    layouts = Layouts()
    layouts.remember("Why?", FOUND)
    return layouts.graded("Why?", documents)


def test_all_documents_in_the_graded_order_need_no_numbers() -> None:
    assert layout_for(FOUND) == Layout(FOUND)


def test_documents_in_order_of_relevance_keep_their_places_in_the_prompt() -> None:
    layout = layout_for([FOUND[4], FOUND[0], FOUND[2]])
    assert layout is not None
    assert layout.shown == FOUND
    assert layout.numbers == {5: 1, 1: 2, 3: 3}
    assert layout.used == [1, 3, 5]
    assert [layout.number_of(callers) for callers in (1, 2, 3, 4)] == [5, 1, 3, None]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_prompt_that_is_mostly_beside_the_point_is_not_used_again(kept: int) -> None:
    assert layout_for(FOUND[:kept]) is None


def test_documents_that_were_not_graded_together_need_a_prompt_of_their_own() -> None:
    assert layout_for([*FOUND[:5], passage("from another search")]) is None
    assert layout_for([]) is None
    assert Layouts().graded("Why?", FOUND) is None


def test_only_the_last_questions_are_remembered() -> None:
    layouts = Layouts()
    for number in range(REMEMBERED + 1):
        layouts.remember(f"{number}?", FOUND)
    assert layouts.graded("0?", FOUND) is None
    assert layouts.graded("1?", FOUND) is not None


def test_without_numbers_of_its_own_a_layout_has_the_callers() -> None:
    assert [Layout(FOUND[:2]).number_of(callers) for callers in (0, 1, 2, 3)] == [None, 1, 2, None]
