"""Replies of OpenAI's protocol, whatever is wrong with them."""

import pytest

from backends.chat.protocol import cache_usage, read_choices

CHOICES = ("yes", "no")


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


@pytest.mark.parametrize(
    ("metrics", "usage"),
    [
        (
            "# HELP vllm:kv_cache_usage_perc KV-cache usage.\n"
            'vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.125\n'
            'vllm:kv_cache_usage_perc{engine="1",model_name="a{b}"} 5e-01\n',
            0.5,
        ),
        ("vllm:gpu_cache_usage_perc 0.25\n", 0.25),
        ("python_info 1.0\n", None),
        ("<html>not found</html>", None),
    ],
)
def test_the_cache_usage_is_that_of_the_fullest_engine(metrics: str, usage: float | None) -> None:
    assert cache_usage(metrics) == usage
