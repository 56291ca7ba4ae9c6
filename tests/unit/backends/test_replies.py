"""Replies are read tolerantly: what cannot be read is unknown."""

import math

import pytest

from backends.chat.replies import choice_probabilities, chosen, without_thinking

CHOICES = ("yes", "no")


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
