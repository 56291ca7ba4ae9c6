"""CSV and TSV: a table whose text is literal and whose header chunking can repeat."""

import pytest

from indexer.chunking import chunk
from indexer.formats.delimited import parse_delimited
from tests.outlines import lines, outline


def parsed(text: str) -> list[tuple[str, str]]:
    return [(kind, piece) for kind, _, piece in outline(parse_delimited(text, name="file"))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_first_row_begins_the_table(delimiter: str) -> None:
    rows = ["name", "age"], ["Ann", "3"], ["Bob", "4"]
    text = "\n".join(delimiter.join(row) for row in rows)
    assert parsed(text) == [("table", text)]


def test_the_text_stays_literal_with_its_lines() -> None:
    text = 'a,b\r\n1,"x"\n\n2,y\n'.replace("\r\n", "\n")
    document = parse_delimited(text, name="file")
    assert (document.text, lines(document)) == (text, [(1, 4)])


def test_remarks_before_the_header_are_no_part_of_the_table() -> None:
    text = "Made by a machine\n# on Monday\n\nname;age\nAnn;3\nBob;4\n"
    assert parsed(text) == [
        ("prose", "Made by a machine\n# on Monday"),
        ("table", "name;age\nAnn;3\nBob;4"),
    ]


def test_a_quoted_delimiter_or_line_end_parts_nothing() -> None:
    text = 'name,remark\nAnn,"one, two, three"\nBob,"first\nsecond"\nEve,x\n'
    assert parsed(text) == [("table", text.strip())]


@pytest.mark.parametrize(
    "text",
    [
        "one column\nfirst\nsecond",
        "a,b,c\n1\n1,2,3,4,5\n,,\n1,2",  # ragged
        '"never closed,b\n1,2\n3,4',
        ",,,\n,,,",
        "a" * 200_000 + ",b\n1,2",  # more than the csv module takes for a cell
    ],
)
def test_odd_tables_are_tables(text: str) -> None:
    assert "".join(piece for _, piece in parsed(text)) == text


def test_every_chunk_of_a_long_table_is_embedded_with_the_header() -> None:
    text = "name,age\n" + "".join(f"person {n},{n}\n" for n in range(200))
    document = parse_delimited(text, name="file")
    chunks = chunk(
        document, count_tokens=lambda texts: [len(t.split()) + 2 for t in texts], max_tokens=64
    )
    assert len(chunks) > 5
    assert all(one.embedded_text.startswith("name,age\n") for one in chunks)
    assert chunks[-1].end_line == 201


def test_a_blank_table_is_empty() -> None:
    assert parsed(" \n\n") == []
