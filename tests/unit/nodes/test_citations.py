"""From markers to citations."""

from nodes.citations import cite
from tests.fakes import passage

BEES = passage(
    "Bees fly at 25 km/h. A queen lays 2,000 eggs a day.\nWorkers live six weeks.", source="bees.md"
)
ANTS = passage("Ants carry fifty times their weight.", source="ants.md")


def test_a_literal_sentence_is_quoted_as_it_stands() -> None:
    answer, citations = cite("A queen lays 2,000 eggs a day. [1]", [BEES])
    assert answer == "A queen lays 2,000 eggs a day. [1]"
    assert [(c["marker"], c["source"], c["quote"]) for c in citations] == [
        (1, "bees.md", "A queen lays 2,000 eggs a day.")
    ]


def test_a_paraphrase_quotes_the_sentence_that_shares_its_words() -> None:
    _, citations = cite("Each day the queen can lay 2,000 eggs [1].", [BEES])
    assert citations[0]["quote"] == "A queen lays 2,000 eggs a day."


def test_every_quote_stands_in_a_passage_that_was_retrieved() -> None:
    _, citations = cite("Strong ants [2]. Short lives of workers [1]. Nonsense [1].", [BEES, ANTS])
    texts = {p["id"]: p["text"] for p in (BEES, ANTS)}
    assert len(citations) == 3
    assert all(c["quote"] in texts[c["id"]] for c in citations)


def test_a_marker_that_points_at_nothing_is_removed() -> None:
    answer, citations = cite("Ants are strong [7]. They lift [1] [0].", [ANTS])
    assert answer == "Ants are strong. They lift [1]."
    assert [c["marker"] for c in citations] == [1]


def test_grouped_and_adjacent_markers_cite_the_same_claim() -> None:
    answer, citations = cite("Insects are busy [1, 2][3].", [BEES, ANTS, BEES])
    assert answer == "Insects are busy [1] [2] [3]."
    assert [c["marker"] for c in citations] == [1, 2, 3]


def test_the_same_claim_is_cited_once() -> None:
    _, citations = cite("Ants carry fifty times their weight. [1] [1]", [ANTS])
    assert len(citations) == 1


def test_an_answer_without_markers_cites_nothing() -> None:
    assert cite("  Just words. ", [ANTS]) == ("Just words.", [])


def test_a_passage_without_sentences_is_quoted_whole() -> None:
    _, citations = cite("Anything [1].", [passage("   ")])
    assert [each["quote"] for each in citations] == ["   "]


def test_a_citation_points_at_the_lines_of_its_quote() -> None:
    found = passage("One.\nTwo is\nhere.\nThree.", start_line=10, end_line=13)
    _, citations = cite("Two is\nhere. [1] Three. [1]", [found])
    assert [(c["start_line"], c["end_line"]) for c in citations] == [(11, 12), (13, 13)]


def test_without_the_files_own_lines_the_passage_is_pointed_at() -> None:
    found = passage("One. Two.", start_line=10, end_line=13)
    _, citations = cite("Two. [1]", [found])
    assert (citations[0]["start_line"], citations[0]["end_line"]) == (10, 13)
