"""Which documents stand in a prompt, in which order, and what the answer's reader calls them.

An answer is to cite the passages that grading kept, best first. A prompt in that order would begin
otherwise than the prompts that graded them, and the server would have to read all documents again.
So the answer's prompt keeps the graded one's documents, its task names those that help, and the
numbers in its markers are turned into the caller's.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from backends.reader import Passage

REMEMBERED = 256
"""Questions whose graded prompt is remembered: far more than are answered at the same time."""

LEAST_KEPT = 0.5
"""The share of the graded documents that must have been kept for their prompt to be used again.

Using it again is always less to compute: the task alone, about a hundred tokens, where another
order costs every kept document anew, about 250 tokens each, 30 ms each on an 8B model at 8,000
tokens a second. What it costs is quality: documents that do not help stand in the prompt. With
fewer than half of them kept, most of the prompt would mislead, to save the reading of a few.
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The documents of one prompt."""

    shown: Sequence[Passage]
    numbers: dict[int, int] | None = None
    """From a document's number in the prompt to the caller's; None where they are the same."""

    @property
    def used(self) -> list[int]:
        """The numbers in the prompt that the task is to name; empty: all documents."""
        numbers = self.numbers or {}
        return sorted(numbers) if len(numbers) < len(self.shown) else []

    def number_of(self, callers: int) -> int | None:
        """The number in the prompt of what the caller calls so; None where it is not shown."""
        if self.numbers is None:
            return callers if 1 <= callers <= len(self.shown) else None
        return next((own for own, theirs in self.numbers.items() if theirs == callers), None)


class Layouts:
    """Remembers the documents that each question's grading has shown."""

    def __init__(self) -> None:
        self._graded: OrderedDict[str, Sequence[Passage]] = OrderedDict()

    def remember(self, question: str, shown: Sequence[Passage]) -> None:
        """These documents have just been graded together, in this order."""
        self._graded[question] = shown
        self._graded.move_to_end(question)
        while len(self._graded) > REMEMBERED:
            self._graded.popitem(last=False)

    def graded(self, question: str, documents: Sequence[Passage]) -> Layout | None:
        """The graded prompt's layout for documents that it shows; None where another is better."""
        shown = self._graded.get(question, ())
        places = {passage["id"]: number for number, passage in enumerate(shown, 1)}
        if not documents or any(passage["id"] not in places for passage in documents):
            return None
        if len(documents) < LEAST_KEPT * len(shown):
            return None
        numbers = {places[passage["id"]]: n for n, passage in enumerate(documents, 1)}
        same = len(numbers) == len(shown) and all(own == other for own, other in numbers.items())
        return Layout(shown, None if same else numbers)
