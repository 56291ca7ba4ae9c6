"""Queries that find the same are the same."""

import pytest

from backends.queries import untried


@pytest.mark.parametrize("repeated", ["Why?", "why", "  WHY ?!", "„Why“", "Ｗhy", "", "?!"])
def test_a_query_that_was_tried_is_not_tried_again(repeated: str) -> None:
    assert untried([repeated, "new"], ["Why?"]) == ["new"]


def test_new_queries_stay_in_order_and_each_comes_once() -> None:
    assert untried(["b c", "a", "B, c!", "d"], []) == ["b c", "a", "d"]


def test_the_order_of_words_and_their_numbers_make_another_query() -> None:
    assert untried(["c b", "b c 2"], ["b c"]) == ["c b", "b c 2"]
