"""What counts as a question."""

import pytest

from errors import QuestionError
from graph.question import MAX_QUESTION_CHARS, check_question


@pytest.mark.parametrize("question", ["", "   ", "\n\t", "\0", None, 7, ["a"]])
def test_what_is_no_question_is_refused_with_a_reason(question: object) -> None:
    with pytest.raises(QuestionError, match=r"(empty|must be text)"):
        check_question(question)


def test_a_question_of_100_000_characters_is_refused_with_its_length() -> None:
    with pytest.raises(QuestionError, match="100,000"):
        check_question("x" * 100_000)


def test_the_longest_question_is_allowed() -> None:
    assert len(check_question("x" * MAX_QUESTION_CHARS)) == MAX_QUESTION_CHARS


def test_nul_and_lone_surrogates_are_dropped() -> None:
    assert check_question(" what\0 is \ud800 this? ") == "what is  this?"
