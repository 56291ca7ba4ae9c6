"""Only what a person may read gets through, under the caller's numbers, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.chat.answer_text import MAX_BLANK, MAX_THOUGHT, AnswerText


def visible(pieces: list[str], silent_on: str = "") -> str:
    text = AnswerText(silent_on)
    return "".join([text.feed(piece) for piece in pieces]) + text.finish()


def numbered(pieces: list[str], numbers: dict[int, int]) -> str:
    text = AnswerText(numbers=numbers)
    return "".join([text.feed(piece) for piece in pieces]) + text.finish()


@given(st.text(alphabet="ab <>/think", max_size=40), st.data())
def test_how_a_reply_is_cut_into_pieces_does_not_matter(reply: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(reply)))
    assert visible([reply[:cut], reply[cut:]]) == visible([reply]) == visible(list(reply))


@given(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "a", " ", "[1]", "[2", "3]"])))
def test_pieces_of_tags_and_markers_may_arrive_in_any_cut(parts: list[str]) -> None:
    whole = "".join(parts)
    numbers = {1: 4, 23: 5}
    assert visible(parts) == visible([whole]) == visible(list(whole))
    assert numbered(parts, numbers) == numbered([whole], numbers) == numbered(list(whole), numbers)


def test_text_is_not_held_back_longer_than_it_may_become_the_silent_word() -> None:
    text = AnswerText("NOT_FOUND")
    assert [text.feed(piece) for piece in ("  N", "OT", " here", " now")] == [
        "",
        "",
        "NOT here",
        " now",
    ]


@pytest.mark.parametrize(
    "pieces", [["NOT_FOUND"], ["**NOT", "_FOUND**"], [" \n'NOT_FOUND'. Sorry, ", "nothing."]]
)
def test_a_reply_that_begins_with_the_silent_word_is_silent(pieces: list[str]) -> None:
    text = AnswerText("NOT_FOUND")
    assert "".join(text.feed(piece) for piece in pieces) + text.finish() == ""
    assert text.silenced


def test_the_silent_word_later_in_an_answer_is_quoted() -> None:
    assert visible(["The code is ", "NOT_FOUND [1]."], "NOT_FOUND") == "The code is NOT_FOUND [1]."


def test_a_reply_that_ends_while_held_back_is_given_out() -> None:
    assert visible(["NOT", "_"], "NOT_FOUND") == "NOT_"
    assert visible(["a <thi"]) == "a <thi"
    assert numbered(["see [1"], {1: 2}) == "see [1"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Blue [3]."], "Blue [1]."),
        (["Blue [", "3", "]."], "Blue [1]."),
        (["Blue [3, 5]."], "Blue [1, 2]."),
        (["Blue [3][5]."], "Blue [1][2]."),
        (["Blue [4]."], "Blue [0]."),
        (["Blue [3, 4, 6]."], "Blue [1, 0]."),
        (["list[int] and [3]"], "list[int] and [1]"),
        (["[see ", "3]"], "[see 3]"),
    ],
)
def test_markers_get_the_callers_numbers_and_invented_ones_point_at_nothing(
    pieces: list[str], expected: str
) -> None:
    assert numbered(pieces, {3: 1, 5: 2}) == expected


def test_only_an_open_marker_is_held_back() -> None:
    text = AnswerText(numbers={3: 1})
    assert [text.feed(piece) for piece in ("Blue [", "3", "] sky", " [x", "] [ ")] == [
        "Blue ",
        "",
        "[1] sky",
        " [x",
        "] ",
    ]


def test_a_reply_that_a_template_began_inside_thinking_shows_what_follows_it() -> None:
    text = AnswerText(thinking=True)
    assert [text.feed(piece) for piece in ("Hm, [1]", "</thi", "nk>", "\n\nBlue")] == [
        "",
        "",
        "",
        "Blue",
    ]
    assert not text.leaked


def test_a_reply_without_the_thinking_that_a_template_opened_is_shown_whole() -> None:
    text = AnswerText(thinking=True)
    assert text.feed("Blue") == ""
    assert text.finish() == "Blue"


def test_a_reply_cut_inside_the_thinking_that_a_template_opened_shows_nothing() -> None:
    text = AnswerText(thinking=True)
    assert text.feed("Hm") + text.finish(cut=True) == ""
    assert text.thinking


def test_thinking_that_a_server_sends_apart_ends_the_holding_back() -> None:
    text = AnswerText(thinking=True)
    text.thinks_apart()
    assert text.feed("Blue") == "Blue"


def test_an_end_of_thinking_that_nothing_announced_is_left_out_and_noted() -> None:
    text = AnswerText()
    assert text.feed("Hm</think>Blue") == "HmBlue"
    assert text.leaked


def test_endless_white_space_is_noticed_and_single_blanks_are_not() -> None:
    text = AnswerText()
    for _ in range(MAX_BLANK * 2):
        text.feed("a")
        text.feed(" ")
    assert not text.is_endless
    for _ in range(MAX_BLANK + 1):
        text.feed("\n")
    assert text.is_endless


def thoughts(text: AnswerText, *pieces: str) -> list[str]:
    """What each piece makes known of the thinking."""
    found = []
    for piece in pieces:
        text.feed(piece)
        found.append(text.take_thought())
    return found


def test_thinking_is_told_piece_by_piece_without_its_tags() -> None:
    text = AnswerText()
    pieces = ("A<thi", "nk>\n", "Hm. ", "So</th", "ink>", "Blue<think>", "no</think>")
    assert thoughts(text, *pieces) == ["", "", "Hm. ", "So", "", "", "no"]


def test_thinking_that_a_template_opened_is_told_as_it_comes() -> None:
    text = AnswerText(thinking=True)
    assert thoughts(text, "Hm", ", </", "b> so", "</think>Blue") == ["Hm", ", ", "</b> so", ""]
    assert thoughts(AnswerText(thinking=True), " <thi", "nk>", "Hm</think>") == ["", "", "Hm"]


def test_an_empty_thinking_block_tells_nothing() -> None:
    assert thoughts(AnswerText(), "<think>", "\n\n", "</think>", "Blue") == [""] * 4


def test_thinking_without_end_is_told_up_to_a_limit() -> None:
    text = AnswerText()
    text.feed("<think>")
    for _ in range(MAX_THOUGHT):
        text.feed("hm ")
    assert len(text.take_thought()) == MAX_THOUGHT
    text.think("more")
    assert text.take_thought() == ""
    assert text.feed("</think>Blue") == "Blue"


@given(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "a", " ", "nk>"])), st.booleans())
def test_how_a_reply_is_cut_into_pieces_changes_nothing_of_the_thinking(
    pieces: list[str], opened: bool
) -> None:
    whole = AnswerText(thinking=opened)
    whole.feed("".join(pieces) + "</think>")
    cut = AnswerText(thinking=opened)
    told = thoughts(cut, *"".join(pieces), *"</think>")
    assert "".join(told).split() == whole.take_thought().split()
