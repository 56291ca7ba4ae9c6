"""What tools return: bounded, and an address leads back to where it came from."""

from typing import Any

import pytest

from errors import NotFound
from mcp_bridge.results import (
    DOCUMENT_CHARS,
    MOST_CITATIONS,
    MOST_FAILED,
    SNIPPET_CHARS,
    answer,
    document_text,
    document_url,
    fetched_document,
    fetched_passage,
    place_of,
    search_results,
    sources,
    summary,
)

CURRENT = {
    "state": "current",
    "pending": 0,
    "behind_s": 0.0,
    "checked_at": None,
    "documents": 1,
    "reason": "",
}


def passage(position: int = 0, text: str = "Some text.", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"id-{position}",
        "text": text,
        "source": "docs/guide.md",
        "also_in": [],
        "title": "Guide",
        "heading": "Guide > Start",
        "page": None,
        "start_line": 3,
        "end_line": 9,
        "position": position,
        **fields,
    }


def test_a_long_text_is_cut_and_says_where_the_rest_is() -> None:
    found = {"passages": [passage(text="x" * 5_000)], "notice": "", "index": CURRENT}
    (result,) = search_results(found)["results"]
    assert len(result["text"]) < SNIPPET_CHARS + 100
    assert result["text"].endswith("[…: fetch this id for the rest]")
    assert result["title"] == "docs/guide.md, lines 3-9: Guide > Start"


def test_finding_nothing_says_what_else_to_try() -> None:
    found = {"passages": [], "notice": "Searched by keywords alone.", "index": CURRENT}
    note = search_results(found)["note"]
    assert note == "Searched by keywords alone. Nothing found. Try other words, or list_sources."


@pytest.mark.parametrize(
    "source", ["docs/guide.md", "docs/a b.md", "docs/ä#?%20&start=3.md", "notes/日本.txt"]
)
@pytest.mark.parametrize("position", [0, 12])
def test_an_address_leads_back_to_its_place(source: str, position: int) -> None:
    assert place_of(document_url(source, position)) == (source, position)


def test_what_is_no_address_is_a_source() -> None:
    assert place_of("docs/guide.md") == ("docs/guide.md", 0)


@pytest.mark.parametrize(
    "address",
    [
        "tandem://other/docs/guide.md",
        "tandem://documents/",
        "tandem://documents",
        "tandem:docs/guide.md",
        "tandem://documents/a.md?start=-1",
        "tandem://documents/a.md?start=x",
    ],
)
def test_an_address_of_something_else_is_refused(address: str) -> None:
    with pytest.raises(NotFound, match="no address of a document"):
        place_of(address)


def test_a_passage_is_read_with_what_is_around_it() -> None:
    around = [passage(n, f"Passage {n}.") for n in range(5)]
    read = fetched_passage({"passage": around[2], "before": around[:2], "after": around[3:]})
    assert read["text"] == "\n\n".join(f"Passage {n}." for n in range(5))
    assert read["metadata"] == {
        "source": "docs/guide.md",
        "heading": "Guide > Start",
        "start_line": 3,
        "end_line": 9,
    }


def test_around_a_passage_no_more_is_read_than_fits() -> None:
    around = [passage(n, f"{n} ".ljust(3_000, "x")) for n in range(21)]
    read = fetched_passage({"passage": around[10], "before": around[:10], "after": around[11:]})
    assert len(read["text"]) <= DOCUMENT_CHARS
    assert around[10]["text"] in read["text"]
    following = int(read["metadata"]["read_on"].partition("start=")[2])
    assert around[following - 1]["text"] in read["text"]
    assert around[following]["text"] not in read["text"]


def test_a_passage_that_is_too_long_by_itself_is_cut() -> None:
    read = fetched_passage({"passage": passage(text="x" * 50_000), "before": [], "after": []})
    assert len(read["text"]) < DOCUMENT_CHARS + 100


def test_a_page_of_a_document_ends_with_how_to_read_on() -> None:
    page = {"source": "docs/guide.md", "passages": [passage(7)], "next": 8}
    assert document_text(page) == (
        "Some text.\n\n[Read on at tandem://documents/docs/guide.md?start=8]"
    )
    assert fetched_document(page)["metadata"]["read_on"] == document_url("docs/guide.md", 8)
    assert document_text({**page, "next": None}) == "Some text."


def test_an_answer_is_bounded_and_keeps_its_sources() -> None:
    citation = {**passage(), "marker": 1, "quote": "q" * 2_000}
    output = {
        "answer": "a" * 100_000,
        "status": "answered",
        "citations": [citation] * 100,
        "notice": "",
        "index": CURRENT,
    }
    told = answer(output)
    assert len(told["sources"]) == MOST_CITATIONS
    assert len(str(told)) < 50_000


def test_sources_are_listed_page_by_page_in_their_order() -> None:
    documents = [
        {"source": f"docs/{n:03}.md", "state": "indexed", "reason": ""} for n in range(250)
    ]
    documents.append({"source": "docs/bad.pdf", "state": "failed", "reason": "it is encrypted"})
    status = {"documents": list(reversed(documents))}
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = sources(status, prefix="docs/", offset=offset, limit=100)
        seen += [source["source"] for source in page["sources"]]
        offset = page["next_offset"]
    assert seen == sorted(document["source"] for document in documents)
    (bad,) = sources(status, prefix="docs/bad", offset=0, limit=100)["sources"]
    assert bad == {"source": "docs/bad.pdf", "state": "failed", "reason": "it is encrypted"}


def test_a_summary_names_some_of_what_failed() -> None:
    failed = [{"source": f"{n}.pdf", "state": "failed", "reason": "no"} for n in range(90)]
    status = {"documents": failed, "points": 0, "index": CURRENT, "syncing": None, "error": ""}
    told = summary(status)
    assert told["documents"] == {"failed": 90}
    assert len(told["failed"]) == MOST_FAILED
    assert told["failed_not_shown"] == 90 - MOST_FAILED
