"""Follow-up questions made to stand alone by the words of the question before."""

import pytest

from backends.extractive.follow_up import stand_alone
from backends.reader import Turn

TESLA = [Turn(question="When was Nikola Tesla born?", answer="On 10 July 1856. [1]")]


@pytest.mark.parametrize(
    ("question", "alone"),
    [
        ("Where did he die?", "Where did he die? Nikola Tesla"),
        ("And why?", "And why? Nikola Tesla"),
        ("What about Edison?", "What about Edison? Nikola Tesla"),
        ("Where did Tesla die, and what was his wealth?", None),
        ("How does grading work in Tandem?", "How does grading work in Tandem?"),
    ],
)
def test_what_refers_back_gets_the_names_it_leaves_out(question: str, alone: str | None) -> None:
    expected = alone or f"{question} Nikola"
    assert stand_alone(question, TESLA) == expected


def test_without_names_the_words_of_the_question_before_are_taken() -> None:
    before = [Turn(question="how fast do bees fly?", answer="")]
    assert stand_alone("And why do they?", before) == "And why do they? fast bees fly"


def test_the_first_question_stands_alone() -> None:
    assert stand_alone("Why?", []) == "Why?"
