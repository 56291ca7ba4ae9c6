"""Questions that ask several things, and those that only look like it."""

import time

import pytest

from backends.extractive.parts import parts


@pytest.mark.parametrize(
    ("question", "apart"),
    [
        ("What is vLLM? Which port has Qdrant?", ["What is vLLM?", "Which port has Qdrant?"]),
        (
            "How fast do bees fly, and how many eggs does a queen lay?",
            ["How fast do bees fly", "how many eggs does a queen lay?"],
        ),
        (
            "Which port does Qdrant use; what does Phoenix trace; who wrote BM25?",
            ["Which port does Qdrant use", "what does Phoenix trace", "who wrote BM25?"],
        ),
        ("Was ist vLLM? Wo liegt Bern?", ["Was ist vLLM?", "Wo liegt Bern?"]),
    ],
)
def test_each_thing_that_is_asked_becomes_a_question(question: str, apart: list[str]) -> None:
    assert [part.said for part in parts(question)] == apart
    assert [part.alone for part in parts(question)] == apart


def test_a_question_full_of_spaces_takes_no_time() -> None:
    begun = time.process_time()
    for space in (" ", "\n"):
        first, second = parts(f"What is vLLM?{space * 7000}Which port has Qdrant?")
        assert (first.said, second.said) == ("What is vLLM?", "Which port has Qdrant?")
        assert parts(f"What is{space * 7000}vLLM") == []
    assert time.process_time() - begun < 0.5


def test_what_a_part_refers_to_is_put_into_it() -> None:
    _, second = parts("When was Tesla born and where did he die?")
    assert second.said == "where did he die?"
    assert "Tesla" in second.alone


@pytest.mark.parametrize(
    "question",
    [
        "How fast do bees fly?",
        "What is the difference between grading and reranking?",
        "Who sings and dances?",
        "Which player got the penalty, which ended the game?",
        "In a computational problem, what is a string over an alphabet?",
        "Really? Why?",
        "Alpha? Beta? Gamma? Delta?",
        "and and and, why?",
        "",
        "? ? ?",
    ],
)
def test_a_question_that_asks_one_thing_has_no_parts(question: str) -> None:
    assert parts(question) == []
