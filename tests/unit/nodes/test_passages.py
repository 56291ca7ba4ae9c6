from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from nodes.passages import distinct

WHALES = (
    "The blue whale is the largest animal that has ever lived. It feeds almost only on krill, "
    "which it filters from the water through plates of baleen, and it sings at 20 hertz. "
)


def found(text: str, source: str = "docs/a.md") -> Document:
    return Document(text, id=f"{source}{len(text)}", metadata={"source": source, "score": 1.0})


def said(documents: list[Document]) -> list[tuple[str, list[str]]]:
    return [(d.metadata["source"], d.metadata["also_in"]) for d in documents]


def test_the_same_text_in_several_files_is_kept_once_and_says_where_else_it_stands() -> None:
    documents = [
        found(WHALES, "docs/a.md"),
        found("Something else.", "docs/b.md"),
        found(WHALES.upper().replace(" ", "\n"), "old/a.md"),
        found(WHALES, "old/a.md"),
        found(WHALES, "docs/a.md"),
    ]
    assert said(distinct(documents)) == [("docs/a.md", ["old/a.md"]), ("docs/b.md", [])]


def test_almost_the_same_text_is_a_duplicate() -> None:
    more = f"{WHALES} {WHALES.replace('krill', 'shrimp')} Whales."
    assert len(distinct([found(more), found(more + " Indeed.", "b")])) == 1


def test_a_different_text_is_none() -> None:
    other = "The fin whale is the second largest animal. It feeds on krill and on small fish. "
    assert len(distinct([found(WHALES), found(other, "b")])) == 2
    assert len(distinct([found(WHALES), found(WHALES + other, "b")])) == 2


def test_another_number_or_a_negation_makes_another_statement() -> None:
    long = WHALES * 5
    for changed in (long.replace("20 hertz", "25 hertz"), long.replace("has ever", "has never")):
        assert len(distinct([found(long), found(changed, "b")])) == 2


def test_texts_without_words_are_compared_too() -> None:
    assert len(distinct([found("—"), found("…", "b"), found("", "c"), found("word", "d")])) == 2


texts = st.lists(st.sampled_from(["whale", "krill", "sea", "20", "not", "—"]), max_size=8)


@given(st.lists(st.tuples(texts, st.sampled_from("abc")), max_size=12))
def test_what_stays_is_in_order_and_every_source_is_still_named(
    given_: list[tuple[list[str], str]],
) -> None:
    documents = [found(" ".join(words), source) for words, source in given_]
    kept = distinct(documents)
    texts = [document.page_content for document in documents]
    places = [texts.index(document.page_content) for document in kept]
    assert places == sorted(set(places))
    assert texts[:1] == [document.page_content for document in kept[:1]]
    named = {source for kept_ in said(kept) for source in (kept_[0], *kept_[1])}
    assert named == {source for _, source in given_}
    assert [d.page_content for d in distinct(kept)] == [d.page_content for d in kept]
