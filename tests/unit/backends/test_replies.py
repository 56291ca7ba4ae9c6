"""Replies are read tolerantly: what cannot be read is unknown."""

import math

import pytest

from backends.chat.replies import choice_probabilities, chosen, read_choices, without_thinking

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


def said(text: str, index: int | None = None) -> dict[str, object]:
    part: dict[str, object] = {"message": {"content": text}}
    return part if index is None else {**part, "index": index}


YES, NO = {"yes": 1.0, "no": 0.0}, {"yes": 0.0, "no": 1.0}


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([said("yes", 0), said("no", 1)], [YES, NO]),
        ([said("no", 1), said("yes", 0)], [YES, NO]),
        ([said("yes"), said("no")], [YES, NO]),
        ([said("no", 1)], [None, NO]),
        ([said("yes", 0), said("no", 7)], [YES, None]),
        ([said("yes", -1)], [None, None]),
        ([said("yes", 0), said("no", 0)], [YES, None]),
        ([None, "x", {"index": 0}, {"index": 1, "message": {"content": 5}}], [None, None]),
        ([], [None, None]),
    ],
)
def test_each_choice_of_a_batch_goes_to_its_prompt_and_a_missing_one_is_unknown(
    parts: list[object], found: list[object]
) -> None:
    assert read_choices({"choices": parts}, 2, CHOICES) == found


@pytest.mark.parametrize(
    "logprobs",
    [{"content": []}, {"content": [{}]}, {"content": None}, {"content": [{"token": "y"}]}, "x"],
)
def test_logprobs_of_another_shape_leave_the_text_to_be_read(logprobs: object) -> None:
    reply = {"choices": [{**said("no"), "logprobs": logprobs}]}
    assert read_choices(reply, 1, CHOICES) == [NO]
