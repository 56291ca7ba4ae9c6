"""Named lines are read however a model wraps them, and nothing is made up."""

import pytest

from nodes.named_lines import MAX_CHARS, MISSING, SEARCH, lines_named, only_line


@pytest.mark.parametrize(
    ("reply", "queries"),
    [
        ("MISSING: the date\nSEARCH: release date of 1.0", ["release date of 1.0"]),
        ('**MISSING:** x\n**Search**: "release date"', ["release date"]),
        ("```\nMISSING: x\nSEARCH: release date\n```", ["release date"]),
        ("SEARCH: a b\nSEARCH: c: d\n\nSEARCH: e", ["a b", "c: d", "e"]),
        ("SEARCH 1: a b\nSEARCH 2: c d", ["a b", "c d"]),
        ("1. SEARCH: a b\n2. SEARCH: c d", ["a b", "c d"]),
        ("MISSING: x\nSEARCHES:\n- a b\n- c d\nI hope this helps.\n- no", ["a b", "c d"]),
        ("Search queries:\n1. a b\n2) c d", ["a b", "c d"]),
        ("MISSING: x SEARCH: a b SEARCH: c d", ["a b", "c d"]),
        ("Search query: a b\nQUERY: c d", ["a b", "c d"]),
        ('```json\n{"missing": "x", "search": "release date"}\n```', ["release date"]),
        ('{"query": "release date"}', ["release date"]),
        ('Here: {"missing": "x", "SEARCH": ["a b", "c d"]}.', ["a b", "c d"]),
        ('{"searches": [{"query": "a b"}, {"search": "c d"}, 7, null]}', ["a b", "c d"]),
        ('{"query": "release', []),
        ('{"query": {"release": 1}}', []),
        ("{}", []),
        ("Sure! Here is:\nsomething", []),
        ("I searched: everything", []),
        ("SEARCH:", []),
        ("SEARCH: none\nSEARCH: N/A\nSEARCH: -\nSEARCH: **the query**", []),
        ("", []),
        ("SEARCH: " + "x" * (MAX_CHARS + 1), []),
    ],
)
def test_queries_are_read_however_they_are_wrapped(reply: str, queries: list[str]) -> None:
    assert lines_named(reply, SEARCH) == queries


@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        ("release date", ["release date"]),
        ('"release date"\n', ["release date"]),
        ("```\nrelease date\n```", ["release date"]),
        ("None.", []),
        ("Sure! Here is:", []),
        ("one\ntwo", []),
        ("", []),
    ],
)
def test_a_reply_of_a_single_line_may_do_without_the_name(reply: str, lines: list[str]) -> None:
    assert only_line(reply) == lines


def test_a_field_is_not_taken_for_another() -> None:
    reply = '{"query": "release date", "missing": "the date"}'
    assert lines_named(reply, MISSING) == ["the date"]
    assert lines_named('{"query": "release date"}', MISSING) == []


def test_what_a_model_adds_to_its_lines_is_no_part_of_them() -> None:
    reply = "MISSING:   the\tdate  \nSEARCH: `release   date`"
    assert lines_named(reply, MISSING) == ["the date"]
    assert lines_named(reply, SEARCH) == ["release date"]
