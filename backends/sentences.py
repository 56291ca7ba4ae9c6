"""Where sentences begin and end, in prose as it stands in documents: wrapped, listed, tabled.

A reader cites sentences and the chunker splits long paragraphs at them, so both must agree, and
every span must quote the text exactly. Rules instead of a trained model: they need no download,
cost about a microsecond a character at worst, and their mistakes can be explained.
"""

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""Start and end of a piece of a text, in characters, the end exclusive."""

_FENCE = re.compile(r"\s{0,12}(?:```+|~~~+)\s*(\S*)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_TABLE_ROW = re.compile(r"\s*\|")
_RULE = re.compile(r"\s*(?:[-=*_~^]\s?){3,}$")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\))\s+\S")
_CODE_LINE = re.compile(r"\t|.*(?:[{}]|\);)\s*$|\s*(?:@\w|//|/\*|#!|#include\b)")
_CONTINUED_PARAGRAPH = 200
"""A line longer than this, in characters, was not wrapped by hand: it is a paragraph itself."""

_END = re.compile(
    r"(?:[.!?…؟।]+(?:[\"'”’»)\]*_`]|\[(?:\d+|[a-z][a-z ?]{2,30})\])*(?=\s))"  # then a space
    r"|(?:[。！？]+[」』）”’]*)"  # scripts that write no space between sentences
)
_NEXT = re.compile(r"\s*[\"'“‘«(\[*_>]*(`|\w\.|\w+)?")
_WORD_BEFORE = re.compile(r"[^\s(\[\"“‘'—–/]+$")
_INITIALS = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_]$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER_LAST = _words(
    "adm approx brig ca capt cf cmdr col dr e.g eg fr ft gen gov hon i.e ie lt maj messrs mlle mme "
    "mr mrs ms msgr mt pres prof rep rev sen sgt st ste viz vs"
)
_BEFORE_NUMBERS = _words(
    "app apr art aug ch chap cl dec eq eqs ex feb fig figs jan jul jun mar no nos nov nr oct op "
    "para pg pp pt ref sec sect sep sept tab v ver vol vols"
)
_SOMETIMES_LAST = _words(
    "al assn ave bros blvd co corp dept est etc inc int'l jr ltd ph.d rd sr univ"
)
_STARTERS = _words(
    "A About After All Although Among An And Another Any As At Because Before Between Both But By "
    "Despite Due During Each Early Even Every Finally First For From Further Furthermore Had He "
    "Her Here His How However If In Instead It Its Later Like Many More Moreover Most Much My "
    "Neither No Not Now Of Often On Once One Only Or Other Our Over Several She Similarly Since So "
    "Some Such That The Their Then There Therefore These They This Those Though Three Through Thus "
    "To Today Two Under Unlike Until Upon Was We Were What When Where Whether Which While Who Why "
    "With Within Without You Your"
)
"""Words that rarely belong to a name: after ``U.S.`` or an initial they begin a sentence."""


def sentences(text: str) -> list[Span]:
    """The spans of the sentences of a text, in order, trimmed, together all that is not space.

    Headings, list items, table rows, rules and the lines of code are spans of their own; a
    sentence that goes on over a wrapped line stays whole.
    """
    return [
        span
        for start, end, is_prose in _units(text)
        for span in (_split(text, start, end) if is_prose else [(start, end)])
    ]


def is_heading(text: str) -> bool:
    """Whether a span is a heading as Markdown writes it."""
    return _HEADING.match(text) is not None


def _units(text: str) -> Iterator[tuple[int, int, bool]]:
    """Paragraphs and lines that stand alone, trimmed: start, end, and whether it is prose."""
    begin = end = -1  # the paragraph being gathered
    in_code = _begins_in_code(text)
    in_list = False
    for start, stop in _lines(text):
        line = text[start:stop]
        first, last = _trimmed(text, start, stop)
        is_fence = _FENCE.match(line) is not None
        alone = in_code or is_fence or _stands_alone(line, in_list=in_list or begin >= 0)
        is_item = not alone and _LIST_ITEM.match(line) is not None
        if begin >= 0 and (first == last or alone or is_item or _is_over(text, begin, end)):
            yield begin, end, True
            begin = -1
        if is_fence:
            in_code = not in_code
        if first == last:
            continue
        in_list = is_item or (in_list and line[0].isspace())
        if alone:
            yield first, last, False
        else:
            begin, end = (first if begin < 0 else begin), last
    if begin >= 0:
        yield begin, end, True


def _lines(text: str) -> Iterator[Span]:
    start = 0
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield start, stop
        start = stop + 1


def _trimmed(text: str, start: int, stop: int) -> Span:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop


def _begins_in_code(text: str) -> bool:
    """Whether the text was cut out of the middle of a fenced block: its first fence is the end."""
    if "```" not in text and "~~~" not in text:
        return False
    fences = [match for line in text.split("\n") if (match := _FENCE.match(line))]
    return len(fences) % 2 == 1 and not fences[0][1]


def _stands_alone(line: str, *, in_list: bool) -> bool:
    if line.startswith("    ") and not in_list and not _LIST_ITEM.match(line):
        return True
    # A pattern with a free prefix would scan a line of megabytes: code lines are short.
    return any(p.match(line) for p in (_HEADING, _TABLE_ROW)) or (
        len(line) < 2 * _CONTINUED_PARAGRAPH
        and (_RULE.match(line) is not None or _CODE_LINE.match(line) is not None)
    )


def _is_over(text: str, begin: int, end: int) -> bool:
    """Whether the paragraph so far ends with its last line, so that the next line begins anew."""
    line_start = max(begin, text.rfind("\n", begin, end) + 1)
    return end - line_start > _CONTINUED_PARAGRAPH


def _split(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences of one paragraph."""
    begin = start
    for match in _END.finditer(text, start, end):
        if match.end() >= end or not _ends_sentence(text, begin, match, end):
            continue
        yield begin, match.end()
        begin = match.end()
        while begin < end and text[begin].isspace():
            begin += 1
    if begin < end:
        yield begin, end


def _ends_sentence(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    mark = match.group()
    if mark[0] in "。！？":
        return True
    following = _NEXT.match(text, match.end(), min(end, match.end() + 60))
    word = (following[1] if following else None) or ""
    if word[:1].islower():
        return False
    if text[match.start() - 1].isspace():
        return word in _STARTERS  # an ellipsis, perhaps written with spaces
    if mark[0] != "." or mark.startswith(".."):
        return True
    before = _WORD_BEFORE.search(text, max(begin, match.start() - 30), match.start())
    return before is None or _may_be_last(before.group(), word, at_start=before.start() == begin)


def _may_be_last(token: str, following: str, *, at_start: bool) -> bool:
    """Whether a word with a full stop may end a sentence before the word that follows."""
    token = token.strip("*_`,")
    lower = token.lower()
    if lower in _NEVER_LAST:
        return False
    if lower in _BEFORE_NUMBERS and following[:1].isdigit():
        return False
    if at_start and (token.isdigit() or len(token) == 1):
        return False  # the number of an item, or an initial
    if lower in _SOMETIMES_LAST or _INITIALS.match(token):
        return following in _STARTERS or not following
    return True
