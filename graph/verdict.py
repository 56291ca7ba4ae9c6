"""Whether a sentence of an answer is supported by what it cites. Light to import."""

from typing import Literal

from typing_extensions import TypedDict

Verification = Literal["off", "annotate", "enforce"]
"""``annotate`` tells which sentences are not supported, ``enforce`` also strikes them."""


class Verdict(TypedDict):
    """One sentence of the answer, checked against the passages it cites."""

    sentence: str
    """As it stands in the answer, without its markers."""
    markers: list[int]
    """What it cites; a sentence that cites nothing is checked against all passages."""
    support: float | None
    """The probability that the passages say so; None where it could not be told."""
    supported: bool | None
    """Whether that is enough; None where it could not be told, which strikes nothing."""
