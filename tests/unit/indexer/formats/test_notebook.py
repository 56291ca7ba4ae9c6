"""Notebooks: headings from Markdown cells, code, and the beginning of its output."""

import json
from typing import Any

import pytest

from errors import ParsingError
from indexer.formats.notebook import parse_notebook
from tests.outlines import outline


def notebook(*cells: dict[str, Any]) -> str:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def code(source: str | list[str], *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def markdown(source: str | list[str]) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source}


def printed(text: str | list[str]) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def test_cells_stand_below_the_headings_of_the_cells_before() -> None:
    text = notebook(
        markdown(["# Study\n", "\n", "Why."]),
        markdown("## Data"),
        code(["import x\n", "x.load()"], printed("loaded\n")),
        markdown("# End"),
        {"cell_type": "raw", "source": "As it is."},
    )
    document = parse_notebook(text, name="file")
    assert (document.title, document.format) == ("Study", "notebook")
    assert outline(document) == [
        ("heading", "Study", "Study"),
        ("prose", "Study", "Why."),
        ("heading", "Study > Data", "Data"),
        ("code", "Study > Data", "import x\nx.load()"),
        ("code", "Study > Data", "loaded"),
        ("heading", "End", "End"),
        ("prose", "End", "As it is."),
    ]


def test_images_are_left_out() -> None:
    image = {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}}
    text = notebook(markdown("A ![dot](data:image/png;base64,AAAA) B"), code("plot()", image))
    assert [piece for *_, piece in outline(parse_notebook(text, name="file"))] == [
        "A ![dot](data:) B",
        "plot()",
    ]


def test_long_output_is_cut_and_colours_are_dropped() -> None:
    text = notebook(code("run()", printed("\x1b[31mred\x1b[0m " + "x" * 5_000)))
    output = outline(parse_notebook(text, name="file"))[1][2]
    assert output.startswith("red xxx")
    assert len(output) < 1_100


def test_results_and_errors_are_kept() -> None:
    result = {"output_type": "execute_result", "data": {"text/plain": ["42"], "text/html": "<b>"}}
    error = {"output_type": "error", "ename": "ValueError", "evalue": "odd", "traceback": ["x"]}
    text = notebook(code("f()", result, error))
    assert [piece for *_, piece in outline(parse_notebook(text, name="file"))] == [
        "f()",
        "42",
        "ValueError: odd",
    ]


def test_a_fence_that_is_not_closed_ends_with_its_cell() -> None:
    document = parse_notebook(notebook(markdown("```\nopen"), markdown("# H")), name="file")
    assert [kind for kind, *_ in outline(document)] == ["code", "heading"]


def test_notebooks_before_version_4_are_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 1, "source": "Old"},
        {"cell_type": "code", "input": "f()", "outputs": [{"output_type": "pyout", "text": "1"}]},
    ]
    document = parse_notebook(json.dumps({"worksheets": [{"cells": cells}]}), name="file")
    assert outline(document) == [
        ("heading", "Old", "Old"),
        ("code", "Old", "f()"),
        ("code", "Old", "1"),
    ]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '"cells"', "3"])
def test_what_is_no_notebook_is_refused(text: str) -> None:
    with pytest.raises(ParsingError, match="no notebook"):
        parse_notebook(text, name="file")


@pytest.mark.parametrize(
    "cell", [{}, {"source": 3}, {"cell_type": "code", "outputs": 3}, {"cell_type": "heading"}]
)
def test_cells_that_lack_something_are_passed_over(cell: dict[str, Any]) -> None:
    assert parse_notebook(notebook(cell, code("x")), name="file").text == "x"
