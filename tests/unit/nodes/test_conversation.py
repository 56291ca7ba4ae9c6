"""A conversation that its client keeps, as it is read: bounded, and never believed to be whole."""

import pytest

from errors import QuestionError
from nodes.conversation import MAX_ANSWER_CHARS, MAX_TURNS, Said, question_and_turns


def user(text: str) -> Said:
    return Said("user", text)


def assistant(text: str) -> Said:
    return Said("assistant", text)


def test_answers_belong_to_the_question_before_them() -> None:
    said = [assistant("Hello!"), user("One?"), assistant("1."), user("Two?"), user(" Three? ")]
    question, turns = question_and_turns(said)
    assert question == "Three?"
    assert turns == [{"question": "One?", "answer": "1."}, {"question": "Two?", "answer": ""}]


def test_what_is_long_is_cut_and_what_is_many_loses_its_beginning() -> None:
    said = [part for n in range(300) for part in (user(f"{n}?"), assistant("x" * 9_000))]
    _, turns = question_and_turns([*said, user("Now?")])
    assert len(turns) == MAX_TURNS
    assert turns[-1]["question"] == "299?"
    assert {len(turn["answer"]) for turn in turns} == {MAX_ANSWER_CHARS}


def test_what_no_model_can_take_is_left_out() -> None:
    said = [user("\0 \ud800"), assistant("a"), user("b\0\udfff"), assistant("\ud800c"), user("d")]
    assert question_and_turns(said) == ("d", [{"question": "b", "answer": "c"}])


@pytest.mark.parametrize(
    "said", [[], [user("One?"), assistant("1.")], [user("  ")], [user("x" * 9_000)]]
)
def test_without_a_question_at_its_end_it_is_refused(said: list[Said]) -> None:
    with pytest.raises(QuestionError):
        question_and_turns(said)
