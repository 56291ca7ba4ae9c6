"""Prompts share their beginning and number their documents."""

import os

from backends.reader import Passage
from nodes.prompts import (
    NOT_FOUND,
    answer_prompt,
    grading_prompts,
    rewrite_prompt,
    shared_beginning,
    verify_prompt,
)
from tests.fakes import passage

SECRET = b"secret"
FOUND = [
    passage("The sky is blue.", title="A", heading="B > C"),
    passage("Grass is green.", title="A", heading="B > C"),
]
SHARED = shared_beginning("Why?", FOUND, SECRET)


def text(messages: list[tuple[str, str]]) -> str:
    return "\n".join(content for _, content in messages)


def common(*prompts: list[tuple[str, str]]) -> str:
    return os.path.commonprefix([text(prompt) for prompt in prompts])  # noqa: RUF071 - of texts


def test_grading_rewriting_answering_and_verifying_share_all_but_the_task() -> None:
    prompts = [
        *grading_prompts(SHARED, 2),
        rewrite_prompt(SHARED, ["Why?"]),
        answer_prompt(SHARED),
        answer_prompt(SHARED, [2]),
        verify_prompt(SHARED, "Blue.", [1]),
    ]
    shared = common(*prompts)
    assert shared.rstrip().endswith(">")
    assert "</question " in shared
    assert all(len(text(prompt)) > len(shared) for prompt in prompts)


def test_grading_prompts_differ_in_a_number_at_their_very_end() -> None:
    first, second = grading_prompts(SHARED, 2)
    shared = common(first, second)
    assert (text(first)[len(shared) :], text(second)[len(shared) :]) == ("1", "2")


def test_the_same_documents_make_the_same_prompt_in_every_run_of_an_installation() -> None:
    again = shared_beginning("Why?", [Passage(**{**p, "relevance": 0.5}) for p in FOUND], SECRET)
    assert again == SHARED
    assert shared_beginning("Why?", FOUND, b"another").text != SHARED.text


def test_documents_are_numbered_as_they_are_to_be_cited() -> None:
    prompt = text(answer_prompt(SHARED))
    assert "[1] docs/a.md — A > B > C\nThe sky is blue." in prompt
    assert prompt.index("[2] docs/a.md") > prompt.index("The sky is blue.")
    assert NOT_FOUND in prompt


def test_an_answers_task_names_the_documents_that_help_only_where_some_do_not() -> None:
    assert "Use only" not in text(answer_prompt(SHARED))
    assert "Use only document 2;" in text(answer_prompt(SHARED, [2]))
    assert "Use only documents 1, 3 and 4;" in text(answer_prompt(SHARED, [1, 3, 4]))


def test_every_search_already_made_is_named() -> None:
    assert "- first\n- second\n" in text(rewrite_prompt(SHARED, ["first", "second"]))
