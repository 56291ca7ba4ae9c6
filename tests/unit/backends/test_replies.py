"""Replies are read tolerantly, and only what a person may read gets through."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.chat.replies import VisibleText, choice_probabilities, chosen, without_thinking

CHOICES = ("yes", "no")


def visible(pieces: list[str], silent_on: str = "") -> str:
    text = VisibleText(silent_on)
    return "".join([text.feed(piece) for piece in pieces]) + text.finish()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("plain", "plain"),
        ("<think>a</think> b", "b"),
        ("opened by the template</think>\nb", "b"),
        ("<think>never closed", ""),
        ("", ""),
    ],
)
def test_thinking_is_cut_off(reply: str, text: str) -> None:
    assert without_thinking(reply) == text


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("yes", "yes"),
        ("**No**, because", "no"),
        ("n", "no"),
        ("yes and no", None),
        ("yesterday", None),
        ("none", None),
        ("", None),
    ],
)
def test_a_choice_is_read_only_where_it_is_the_only_one_named(
    reply: str, choice: str | None
) -> None:
    assert chosen(reply, CHOICES) == choice


def test_probabilities_add_up_over_spellings_and_ignore_other_tokens() -> None:
    tokens = [("Yes", math.log(0.3)), (" yes", math.log(0.3)), ("n", math.log(0.2)), ("The", -0.1)]
    assert choice_probabilities(tokens, CHOICES) == pytest.approx({"yes": 0.75, "no": 0.25})


@pytest.mark.parametrize("tokens", [[], [("The", -0.1)], [("yes", math.nan)], [("", -0.1)]])
def test_without_a_usable_token_nothing_is_known(tokens: list[tuple[str, float]]) -> None:
    assert choice_probabilities(tokens, CHOICES) is None


def test_a_beginning_common_to_both_choices_counts_for_neither() -> None:
    assert choice_probabilities([("s", -0.1)], ("supported", "stated")) is None


@given(st.text(alphabet="ab <>/think", max_size=40), st.data())
def test_how_a_reply_is_cut_into_pieces_does_not_matter(reply: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(reply)))
    assert visible([reply[:cut], reply[cut:]]) == visible([reply]) == visible(list(reply))


def test_text_is_not_held_back_longer_than_it_may_become_the_silent_word() -> None:
    text = VisibleText("NOT_FOUND")
    assert [text.feed(piece) for piece in ("  N", "OT", " here", " now")] == [
        "",
        "",
        "NOT here",
        " now",
    ]


@pytest.mark.parametrize(
    "pieces", [["NOT_FOUND"], ["**NOT", "_FOUND**"], [" \n'NOT_FOUND'. Sorry, ", "nothing."]]
)
def test_a_reply_that_begins_with_the_silent_word_is_silent(pieces: list[str]) -> None:
    text = VisibleText("NOT_FOUND")
    assert "".join(text.feed(piece) for piece in pieces) + text.finish() == ""
    assert text.silenced


def test_the_silent_word_later_in_an_answer_is_quoted() -> None:
    assert visible(["The code is ", "NOT_FOUND [1]."], "NOT_FOUND") == "The code is NOT_FOUND [1]."


def test_a_reply_that_ends_while_held_back_is_given_out() -> None:
    assert visible(["NOT", "_"], "NOT_FOUND") == "NOT_"
    assert visible(["a <thi"]) == "a <thi"
