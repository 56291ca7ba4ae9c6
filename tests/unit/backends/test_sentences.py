"""Sentences as a reader would cite them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.sentences import sentences


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mrs. Jones at St. Mary's.",
        "It uses a cache, e.g. Redis, i.e. Memory is spent.",
        "The U.S. Congress met at 5 p.m. Eastern time.",
        "It is 3.14 metres and No. 5 in the list.",
        "John F. Kennedy knew J. R. R. Tolkien.",
        "Geoffrey (d. 1155) wrote it c. 1136 in Oxford.",
        "See Fig. 3 and pp. 12 of the book.",
        "Version v1.2.3 of node.js is on example.com now.",
        '"Will it work?" he asked.',
        "Wait... there is more.",
        "He said . . . nothing at all.",
        "Apple Inc. and Foo Ltd. merged.",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(text: str) -> None:
    assert pieces(text) == [text]


@pytest.mark.parametrize(
    "expected",
    [
        ["It ended.", "Another began."],
        ["He lives in the U.S.", "The weather is fine."],
        ["They sold pens, ink, etc.", "However, paper was free."],
        ['He said "stop."', "Nobody stopped."],
        ["It grew.[12]", "Then it fell.[citation needed]", "It grew again."],
        ["Is it true?", "Yes!", "It is."],
        ["She said no.", "He agreed."],
        ["It was over in 1918.", "(See below.)", "1920 was worse."],
        ["Run it.", "`kubectl get pods` lists them."],
        ["Its **name** is *set.*", "_Then_ it is used."],
        ["Он ушёл.", "Она осталась."],
    ],
)
def test_neighbouring_sentences_are_separated(expected: list[str]) -> None:
    assert pieces(" ".join(expected)) == expected


def test_chinese_sentences_need_no_space() -> None:
    assert pieces("今天很好。明天呢？不知道。") == ["今天很好。", "明天呢？", "不知道。"]


def test_a_wrapped_sentence_stays_whole() -> None:
    text = "This sentence is wrapped\nover two lines. The next\none too."
    assert pieces(text) == ["This sentence is wrapped\nover two lines.", "The next\none too."]


def test_a_blank_line_ends_a_sentence_without_a_full_stop() -> None:
    assert pieces("A title\n\nThe text") == ["A title", "The text"]


def test_headings_items_rows_and_rules_stand_alone() -> None:
    lines = [
        "## Set-up",
        "Read this. ",
        "- first item goes on",
        "  in the next line",
        "- second item. Two sentences.",
        "1. numbered",
        "---",
        "| a | b |",
        "|---|---|",
        "| 1. One | 2 |",
    ]
    assert pieces("\n".join(lines)) == [
        "## Set-up",
        "Read this.",
        "- first item goes on\n  in the next line",
        "- second item.",
        "Two sentences.",
        "1. numbered",
        "---",
        "| a | b |",
        "|---|---|",
        "| 1. One | 2 |",
    ]


def test_fenced_code_is_split_by_lines_only() -> None:
    text = "Look. Here:\n```python\nx = 1. # One. Two\n\ny = 2\n```\nDone. Really."
    assert pieces(text) == [
        "Look.",
        "Here:",
        "```python",
        "x = 1. # One. Two",
        "y = 2",
        "```",
        "Done.",
        "Really.",
    ]


def test_text_cut_out_of_a_fence_begins_as_code() -> None:
    assert pieces("a = 1\nb = 2\n```\nProse goes\non.") == [
        "a = 1",
        "b = 2",
        "```",
        "Prose goes\non.",
    ]


def test_each_line_of_an_unwrapped_text_is_a_paragraph() -> None:
    line = "word " * 60 + "without an end"
    assert pieces(f"{line}\n{line}") == [line, line]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\n"])
def test_blank_text_has_no_sentences(text: str) -> None:
    assert sentences(text) == []


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("aB1 .?!\n\t-#|`'\"()[]。e.g.") | st.characters()))
def test_spans_are_in_order_and_lose_nothing(text: str) -> None:
    spans = sentences(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["a. " * 100_000, "a" * 500_000, " " * 500_000, ".\n" * 100_000])
def test_a_huge_line_takes_linear_time(text: str) -> None:
    start = time.process_time()
    sentences(text)
    assert time.process_time() - start < 20
