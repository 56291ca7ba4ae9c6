"""Chunks: nothing lost, nothing too long, and cut where a reader would cut."""

import re
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexer.chunking import Chunk, chunk
from indexer.documents import Block, ParsedDocument
from indexer.formats.markdown import parse_markdown
from indexer.formats.plain_text import parse_plain_text
from indexer.formats.restructured_text import parse_restructured_text
from indexer.formats.source_code import parse_python, parse_source_code
from indexer.token_counts import CountTokens


class Parser(Protocol):
    """A parser of text."""

    def __call__(self, text: str, *, name: str) -> ParsedDocument: ...


PARSERS: list[Parser] = [
    parse_markdown,
    parse_plain_text,
    parse_restructured_text,
    parse_source_code,
    parse_python,
]


def count_words(texts: Sequence[str]) -> list[int]:
    """Words and signs, and two special tokens."""
    return [2 + len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def count_bytes(texts: Sequence[str]) -> list[int]:
    """A tokenizer that keeps space and knows no words: a token for every three bytes."""
    return [2 + -(-len(text.encode()) // 3) for text in texts]


def cut(document: ParsedDocument, *, max_tokens: int = 64, target: int = 48) -> list[Chunk]:
    return chunk(document, count_tokens=count_words, max_tokens=max_tokens, target_tokens=target)


def markdown(text: str, *, max_tokens: int = 64, target: int = 48) -> list[Chunk]:
    return cut(parse_markdown(text, name="file"), max_tokens=max_tokens, target=target)


def prose(words: int, *, sentence: int = 8) -> str:
    """Sentences of numbered words."""
    return " ".join(
        f"W{n}" if n % sentence == 0 else f"w{n}." if n % sentence == sentence - 1 else f"w{n}"
        for n in range(words)
    )


def test_a_section_that_fits_is_one_chunk_with_its_headings_above() -> None:
    [first, second] = markdown(f"# T\n\n{prose(40)}\n\n## A\n\n{prose(30)}\n\n- one\n- two\n")
    assert (first.heading, first.start_line, first.end_line) == ("T", 1, 3)
    assert second.text == f"## A\n\n{prose(30)}\n\n- one\n- two"
    assert second.embedded_text == f"T\n{second.text}"
    assert (second.title, second.heading) == ("T", "T > A")
    assert (second.start_line, second.end_line) == (5, 10)
    assert second.tokens == count_words([second.embedded_text])[0]


def test_later_parts_of_a_section_repeat_the_whole_heading_path() -> None:
    chunks = markdown(f"# T\n\n## A\n\n{prose(40)}\n\n{prose(40)}\n")
    assert [c.heading for c in chunks] == ["T > A", "T > A"]
    assert chunks[1].embedded_text == f"T > A\n{prose(40)}"
    assert chunks[0].text.startswith("# T\n\n## A")


def test_paragraphs_are_packed_up_to_the_target() -> None:
    chunks = markdown("\n\n".join(prose(20) for _ in range(5)))
    # A paragraph has 22 or 23 tokens.
    assert [c.text.count("\n\n") for c in chunks] == [1, 1, 0]


def test_a_long_section_does_not_run_into_the_next() -> None:
    chunks = markdown(f"# T\n\n## A\n\n{prose(30)}\n\n## B\n\n{prose(30)}\n")
    assert [c.heading for c in chunks] == ["T > A", "T > B"]


def test_tiny_siblings_merge_under_their_parent() -> None:
    [merged, *others] = markdown(
        f"# T\n\n## A\n\nNo.\n\n## B\n\nYes.\n\n# U\n\n## C\n\n{prose(40)}\n"
    )
    assert merged.text == "# T\n\n## A\n\nNo.\n\n## B\n\nYes."
    assert merged.heading == "T"
    assert [c.heading for c in others] == ["U > C"]


def test_a_heading_is_never_parted_from_what_it_heads() -> None:
    chunks = markdown(f"# T\n\n{prose(44)}\n\n## Next\n\n{prose(45)}\n")
    assert chunks[1].text.startswith("## Next\n\nW0")


def test_a_colon_stays_with_the_code_it_announces() -> None:
    code = "\n".join(f"line{n} a b c" for n in range(12))
    [only] = markdown(f"For example:\n\n```\n{code}\n```\n")
    assert only.text.startswith("For example:")


def test_a_long_paragraph_is_split_at_sentences_with_one_repeated() -> None:
    chunks = markdown(prose(160))
    assert len(chunks) > 3
    for before, after in pairwise(chunks):
        assert before.text.endswith(".")
        repeated = before.text[before.text.rindex("W") :]
        assert after.text.startswith(repeated)


def test_a_sentence_without_end_is_split_at_words() -> None:
    text = " ".join(f"word{n}" for n in range(500))
    chunks = markdown(text)
    assert " ".join(c.text for c in chunks) == text
    assert min(c.tokens for c in chunks) > 24


def test_a_word_without_end_is_split_all_the_same() -> None:
    document = parse_plain_text("x" * 5_000, name="file")
    chunks = chunk(document, count_tokens=count_bytes, max_tokens=64)
    assert "".join(c.text for c in chunks) == "x" * 5_000


def test_code_is_split_between_its_paragraphs() -> None:
    paragraph = "\n".join(f"    x{n} = {n}" for n in range(8))
    chunks = markdown(f"```py\n{paragraph}\n\n{paragraph}\n\n{paragraph}\n```\n")
    assert [c.text.count("x0 =") for c in chunks] == [1, 1, 1]
    assert chunks[1].text == paragraph.strip() or chunks[1].text == paragraph
    assert (chunks[1].start_line, chunks[1].end_line) == (11, 18)


def test_a_long_table_repeats_its_header_where_it_is_embedded_only() -> None:
    rows = "\n".join(f"| name{n} | value{n} |" for n in range(30))
    chunks = markdown(f"# T\n\n| Name | Value |\n|---|---|\n{rows}\n")
    assert len(chunks) > 2
    for later in chunks[1:]:
        assert later.embedded_text == f"T\n| Name | Value |\n{later.text}"
        assert later.text.startswith("| name")
        assert later.text.endswith(" |")


def test_headings_that_eat_the_budget_are_shortened() -> None:
    long = " ".join(f"head{n}" for n in range(200))
    chunks = markdown(f"# {long}\n\n## Short\n\n{prose(300)}\n")
    assert all(c.tokens <= 64 for c in chunks)
    assert chunks[-1].embedded_text.startswith("Short\nW")
    assert chunks[-1].heading == f"{long} > Short"


def test_pages_are_those_where_a_chunk_begins() -> None:
    text = f"{prose(40)}\n\n{prose(40)}"
    middle = len(prose(40))
    blocks = [Block(0, middle, "prose", (), 1), Block(middle + 2, len(text), "prose", (), 2)]
    chunks = cut(ParsedDocument("T", text, blocks, "pdf"))
    assert [(c.page, c.start_line) for c in chunks] == [(1, None), (2, None)]


def test_an_empty_document_has_no_chunks() -> None:
    assert markdown(" \n\n") == []


def test_a_budget_too_small_for_any_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        markdown("text", max_tokens=31)


def test_an_edit_changes_only_the_chunks_around_it() -> None:
    paragraphs = [f"{prose(18 + n % 7)} p{n}" for n in range(60)]
    before = markdown("\n\n".join(paragraphs))
    paragraphs[30] += " edited"
    after = markdown("\n\n".join(paragraphs))
    changed = {c.embedded_text for c in after} - {c.embedded_text for c in before}
    assert len(changed) <= 3


@pytest.mark.parametrize("unit", ["word ", "x", "One sentence here. ", "日本語", "| a "])
def test_a_line_of_a_megabyte_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    chunks = cut(parse_plain_text(text, name="file"), max_tokens=256, target=200)
    assert time.process_time() - start < 30
    assert all(c.tokens <= 256 and len(c.text) <= 2048 for c in chunks)


_LINE = st.one_of(
    st.text(alphabet=st.sampled_from("ab .!?*_`[]()#|-\t日é\u2028"), max_size=60),
    st.sampled_from(["# H", "## A", "### B b", "```", "| a | b |", "|---|---|", "- item"]),
    st.sampled_from(["", "::", "----", "  def f():", "}", "class A:", "  x", "---", "<!--"]),
    st.integers(1, 120).map(prose),
    st.integers(1, 400).map(lambda n: "x" * n),
)


@settings(deadline=None)
@given(
    st.lists(_LINE, max_size=40).map("\n".join),
    st.sampled_from(PARSERS),
    st.sampled_from([count_words, count_bytes]),
    st.integers(32, 100),
)
@example("# " + "a " * 500 + "\n\nbody", parse_markdown, count_words, 32)
def test_nothing_is_lost_too_long_or_out_of_order(
    text: str, parse: Parser, count: CountTokens, max_tokens: int
) -> None:
    document = parse(text, name="file")
    chunks = chunk(document, count_tokens=count, max_tokens=max_tokens, target_tokens=40)
    assert chunks == chunk(document, count_tokens=count, max_tokens=max_tokens, target_tokens=40)
    start = end = 0
    for one in chunks:
        assert count([one.embedded_text])[0] <= max_tokens
        assert one.text
        assert one.embedded_text.endswith(one.text)
        start, end = _place(document.text, one.text, start, end)
        assert one.start_line is not None
        lines = text.split("\n")[one.start_line - 1 : one.end_line]
        assert one.text in "\n".join(lines)
    assert not text[end:].strip()


def _place(text: str, piece: str, start: int, end: int) -> tuple[int, int]:
    """Where the next chunk stands: right after the one before, or overlapping its end."""
    piece = piece.lstrip()
    after = len(text) - len(text[end:].lstrip())
    if text.startswith(piece, after):
        return after, after + len(piece)
    overlapping = [at for at in range(start + 1, end) if text.startswith(piece, at)]
    assert overlapping, f"{piece!r} does not follow {text[start:end]!r}"
    assert overlapping[-1] + len(piece) > end
    return overlapping[-1], overlapping[-1] + len(piece)


@settings(deadline=None)
@given(st.lists(_LINE, max_size=40).map("\n".join), st.sampled_from(PARSERS))
def test_blocks_hold_everything_but_space(text: str, parse: Parser) -> None:
    blocks = parse(text, name="file").blocks
    end = 0
    for block in blocks:
        assert not text[end : block.start].strip()
        assert text[block.start : block.end].strip()
        assert block.start_line == text.count("\n", 0, block.start) + 1
        assert block.end_line == text.count("\n", 0, block.end) + 1
        end = block.end
    assert not text[end:].strip()
