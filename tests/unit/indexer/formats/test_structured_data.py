"""JSON: literal text, cut where objects and arrays begin."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.formats.structured_data import parse_json, parse_json_lines
from tests.outlines import lines, outline

LONG = "word " * 30


def test_small_json_is_one_piece() -> None:
    text = '{"name": "x", "deps": {"a": "1"}}'
    assert outline(parse_json(text, name="file")) == [("code", "", text)]


def test_large_values_are_cut_below_the_keys_that_lead_to_them() -> None:
    value = {"name": "x", "paths": {"get": {"text": LONG * 2}, "post": {"text": LONG * 2}}}
    document = parse_json(json.dumps({"api": value, "end": 1}, indent=1), name="file")
    paths = [path for _, path, _ in outline(document)]
    assert paths == ["", "api", "api > paths", "api > paths", ""]
    assert outline(document)[3][2].lstrip().startswith('"post": {')


def test_items_of_an_array_are_pieces_with_their_lines() -> None:
    records = [{"id": n, "text": LONG} for n in range(4)]
    text = "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]"
    document = parse_json(text, name="file")
    assert [json.loads(piece.strip("[],\n")) for *_, piece in outline(document)] == records
    assert lines(document) == [(1, 2), (3, 3), (4, 4), (5, 6)]


def test_many_small_values_share_pieces() -> None:
    document = parse_json(json.dumps(list(range(10_000))), name="file")
    assert 100 < len(document.blocks) < 1_000


def test_comments_and_trailing_commas_do_no_harm() -> None:
    items = "".join(f"{{'id': {n}, // it's \"odd\" ]}}\n 'text': '{LONG}'}},\n" for n in range(3))
    document = parse_json(f"/* [ */ [\n{items}]\n", name="file")
    assert len(document.blocks) == 4


def test_records_under_the_name_of_json_are_read_as_records() -> None:
    document = parse_json('{"a": 1}\n{"a": 2}\n', name="file")
    assert (document.format, lines(document)) == ("jsonl", [(1, 1), (2, 2)])


def test_a_record_is_a_line() -> None:
    document = parse_json_lines('{"a": 1}\n\n["b"]\nnot json\n', name="file")
    assert [piece for *_, piece in outline(document)] == ['{"a": 1}', '["b"]', "not json"]
    assert lines(document) == [(1, 1), (3, 3), (4, 4)]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        '"' + '\\"' * 500_000,
        "'" + "\\'" * 500_000,
        "/*" * 500_000,
        '"' * 1_000_001,
        "]" * 1_000_000,
        '{"k": "' + "x" * 1_000_000,
    ],
    ids=["deep", "deep objects", "escapes", "escapes'", "comments", "quotes", "closing", "cut off"],
)
def test_hostile_json_takes_linear_time(text: str) -> None:
    begun = time.process_time()
    document = parse_json(text, name="file")
    assert "".join(piece for *_, piece in outline(document)) == text
    assert time.process_time() - begun < 10


@given(
    st.one_of(
        st.text(alphabet='{}[],:"\\ /*\nab', max_size=300).map(lambda text: text * 5),
        st.recursive(
            st.one_of(st.text(max_size=50), st.integers(), st.none()),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        ).map(lambda value: json.dumps(value, indent=1)),
    )
)
def test_pieces_hold_every_character_but_space_in_order(text: str) -> None:
    document = parse_json(text, name="file")
    assert document.text == text
    assert [c for *_, piece in outline(document) for c in piece if not c.isspace()] == [
        c for c in text if not c.isspace()
    ]
    assert all(one.end <= other.start for one, other in pairwise(document.blocks))
    for block in document.blocks:
        assert block.start_line == text.count("\n", 0, block.start) + 1
        assert block.end_line == text.count("\n", 0, block.end) + 1
