"""The part of a streamed reply that a person may read, piece by piece."""

import re
from collections.abc import Mapping

THINK, END_THINK = "<think>", "</think>"

# What models put around a word they were asked to reply with alone.
DECORATION = " \t\r\n*_`\"'[({>#"
_TAG = re.compile(f"{THINK}|{END_THINK}")
_REOPENED = re.compile(rf"\s*{THINK}")
_CLOSING = re.compile(END_THINK)
_MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_OPEN_MARKER = re.compile(r"\[[\d,\s]{0,40}$")
MAX_BLANK = 1000
"""White space in a row, in characters; a model that gives more has lost its way."""
MAX_THOUGHT = 32_000
"""Characters of thinking that are shown; what a model thinks beyond them nobody reads."""


class AnswerText:
    """Turns a reply into what the reader's caller is to see.

    Thinking blocks are left out wherever they stand; ``thinking`` says that the reply begins
    inside one, because the chat template has opened it. What stands in them is to be had from
    ``take_thought``. A reply that begins with ``silent_on``
    has no visible text at all. ``numbers`` turns the numbers in markers such as ``[3]`` into the
    caller's; a number that it lacks becomes 0, which points at nothing.

    Text is held back only while it may still become a tag, that word or a marker.
    """

    def __init__(
        self,
        silent_on: str = "",
        numbers: Mapping[int, int] | None = None,
        *,
        thinking: bool = False,
    ) -> None:
        self.silenced = False
        self.thinking = thinking
        self.apart = False
        self.shown = False
        self.leaked = False
        """Whether thinking ended that nothing had announced: what came before it was shown."""
        self._silent_on = silent_on
        self._numbers = numbers
        self._held = ""
        self._beginning = ""
        self._marker = ""
        self._opened_before = thinking
        self._blank = 0
        self._thought = ""
        self._thought_chars = 0
        self._told = 0  # of what is held while nobody knows whether it is thinking

    @property
    def is_endless(self) -> bool:
        """Whether the reply has become nothing but white space."""
        return self._blank > MAX_BLANK

    def thinks_apart(self) -> None:
        """The server sends the thinking in a field of its own: all that is fed is the answer."""
        self.apart = True
        self.thinking = self._opened_before = False

    def think(self, piece: str) -> None:
        """What the model thinks, wherever the server puts it."""
        text = piece if self._thought_chars else piece.lstrip()
        shown = text[: MAX_THOUGHT - self._thought_chars]
        self._thought_chars += len(shown)
        self._thought += shown

    def take_thought(self) -> str:
        """What was thought since it was last asked for; empty where nothing was."""
        thought, self._thought = self._thought, ""
        return thought

    def feed(self, piece: str) -> str:
        """What becomes readable with this piece, often the piece itself."""
        blank = len(piece) - len(piece.rstrip())
        self._blank = blank + (self._blank if blank == len(piece) else 0)
        begin = max(0, len(self._held) - len(END_THINK))  # what is before was looked at already
        self._held += piece
        visible = ""
        while found := (_CLOSING if self.thinking else _TAG).search(self._held, begin):
            if self.thinking:
                self._tell_held(found.start())
            else:
                visible += self._held[: found.start()]
            self.leaked |= not self.thinking and found.group() == END_THINK
            self.thinking = found.group() == THINK
            self._opened_before = False
            self._held = self._held[found.end() :]
            self._told = begin = 0
        free = len(self._held) - _begun_tag(self._held)
        if self._opened_before:
            self._tell_held(free)
            return ""  # it may turn out that there was no thinking at all
        if self.thinking:
            self._tell_held(free)
        else:
            visible += self._held[:free]
        self._told = 0
        self._held = self._held[free:]
        return self._renumbered(self._unless_silenced(visible, last=False))

    def finish(self, *, cut: bool = False) -> str:
        """What was held back and turned out to be readable; ``cut`` by the limit of tokens."""
        if self._opened_before and not cut and not self._held.lstrip().startswith(THINK):
            self.thinking = False
        held = "" if self.thinking else self._held
        self._held = ""
        return self._renumbered(self._unless_silenced(held, last=True), last=True)

    def _tell_held(self, end: int) -> None:
        """What is held, up to here, as thinking; it stays held while it may be an answer."""
        if self._opened_before and (again := _REOPENED.match(self._held)):
            self._told = max(self._told, again.end())
        if end > self._told:
            self.think(self._held[self._told : end])
            self._told = end

    def _unless_silenced(self, text: str, *, last: bool) -> str:
        if self.silenced:
            return ""
        if self.shown:
            return text
        self._beginning += text
        word = self._beginning.lstrip(DECORATION)
        if self._silent_on and word.startswith(self._silent_on):
            self.silenced = True
            return ""
        if not self._beginning.strip() or (self._silent_on.startswith(word) and not last):
            return ""
        self.shown = True
        return self._beginning.lstrip()

    def _renumbered(self, text: str, *, last: bool = False) -> str:
        """The text with the caller's numbers, without a marker that has only begun."""
        if self._numbers is None:
            return text
        text = self._marker + text
        begun = None if last else _OPEN_MARKER.search(text)
        end = begun.start() if begun else len(text)
        self._marker = text[end:]
        return _MARKER.sub(self._marked, text[:end])

    def _marked(self, match: re.Match[str]) -> str:
        numbers = self._numbers or {}
        named = dict.fromkeys(numbers.get(int(n), 0) for n in match.group(1).split(","))
        return f"[{', '.join(str(number) for number in named)}]"


def _begun_tag(text: str) -> int:
    """How many characters at the end of the text may be the beginning of a tag."""
    begin = text.rfind("<", -len(END_THINK))
    if begin < 0:  # as nearly always
        return 0
    end = text[begin:]
    begun = any(tag.startswith(end) and tag != end for tag in (THINK, END_THINK))
    return len(end) if begun else 0
