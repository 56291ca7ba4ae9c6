"""The documents behind an answer, in the shape in which Open WebUI shows them."""

from typing import Any

from backends.reader import Passage
from graph.citation import place
from graph.state import RagOutput


def sources(output: RagOutput) -> list[dict[str, Any]]:
    """A source for each of the answer's documents, in the order of the markers: ``[1]`` is first.

    Open WebUI finds a marker's source by its place in the list, and takes sources of the same name
    for one: so each passage has a name of its own, and those that nothing cites are there too.
    """
    return [
        _source(number, passage, _quotes(output, number))
        for number, passage in enumerate(output["documents"], 1)
    ]


def _source(number: int, passage: Passage, quotes: list[str]) -> dict[str, Any]:
    about = {
        "source": passage["id"],
        "name": f"[{number}] {place(passage)}",
        "page": passage["page"],
        "start_line": passage["start_line"],
        "end_line": passage["end_line"],
        "cited": bool(quotes),
    }
    return {
        "source": {"id": passage["id"], "name": passage["source"]},
        "document": ["\n\n".join(quotes) or passage["text"]],
        "metadata": [about],
        "distances": [passage["relevance"] if passage["relevance"] is not None else 0.0],
    }


def _quotes(output: RagOutput, number: int) -> list[str]:
    return [cited["quote"] for cited in output["citations"] if cited["marker"] == number]
