"""Tokens counted word by word, beside the tokenizer itself."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.minilm import word_counts
from backends.minilm.wordpiece import count_tokens, encode, model_folder

FOLDER = model_folder()
ODD = (
    "", " ", "[CLS]", "[cls] [SEP]x", "don't_stop(now)", "x" * 101, "x" * 100, "a\x00b", "a\x7fb",
    "tab\tand\nline\r\n", "naïve café", "日本語 text", "\ufeffmark", "[MASK", "UPPER lower 12.5%",
    "a\x0bb", "a\x1fb", "e\u0301", "…", "``code``",
)  # fmt: skip
# letters with accents of their own and beside them, other alphabets, space and signs of all kinds
SIGNS = "ab .,'[-éÉß\u0301\u00ad\u00a0\u0085αжİ\u037e\u2000–—“”…€™≠\u2028\u202f\u200b中ไ"


def counted(texts: Sequence[str]) -> list[int]:
    return [len(ids) for ids in encode(texts, FOLDER)]


@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.text(st.characters(max_codepoint=127), max_size=200),
            st.text(st.sampled_from(SIGNS), max_size=80),
            st.lists(st.sampled_from(ODD), max_size=5).map(" ".join),
            st.lists(st.sampled_from(ODD), max_size=5).map("".join),
        ),
        max_size=6,
    )
)
def test_counts_are_the_tokenizers(texts: list[str]) -> None:
    assert count_tokens(texts, FOLDER) == counted(texts)


def test_what_is_forgotten_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_MAX_WORDS", 2)
    counts = word_counts.WordCounts(counted)
    texts = ["one two three", "four five one", "unbelievable"]
    for text in texts * 2:
        assert counts.count([text]) == counted([text])
    assert counts.count(texts) == counted(texts)
