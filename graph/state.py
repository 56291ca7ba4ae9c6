"""What a run takes, what it carries from node to node, and what it returns."""

from typing import Annotated, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from backends.accounting import AnsweringModel, Usage
from backends.reader import Passage, Turn
from graph.citation import Citation
from graph.freshness import Freshness
from graph.verdict import Verdict

Status = Literal["answered", "not_found", "degraded"]


class RagInput(TypedDict):
    """What a run takes: a question, or a conversation whose last message is the question."""

    question: NotRequired[str]
    messages: NotRequired[Annotated[list[AnyMessage], add_messages]]


class RagOutput(TypedDict):
    """What a run returns."""

    question: str
    answer: str
    citations: list[Citation]
    verdicts: list[Verdict]
    """Each sentence of the answer, checked against what it cites; empty where that is off."""
    documents: list[Passage]
    """The passages that the answer was made from, best first."""
    status: Status
    reader: str
    """Who answered: ``extractive`` or the model's id."""
    notice: str
    """What a person should know about this answer, such as why it is degraded; else empty."""
    queries: list[str]
    """The searches made, in order."""
    index: Freshness
    """How far the index was behind the disk when it was last searched."""
    model: AnsweringModel | None
    """The language model that answered; None for the extractive reader."""
    usage: Usage
    """What the language model's calls of this run cost, all together."""
    timings: dict[str, float]
    """Milliseconds in each node, all its turns together, and from begin to end in ``total``."""
    trace_id: str | None
    """The run's trace, 32 hexadecimal digits; None where tracing is off."""


class ChatOutput(RagOutput):
    """What clients of LangGraph's own API get."""

    messages: NotRequired[Annotated[list[AnyMessage], add_messages]]
    """Where the run was given messages: these and the answer, which brings its citations."""


class RagState(ChatOutput):
    """What the nodes share. On a thread it outlives the run, so each run begins it anew."""

    searches: Annotated[list[str], EphemeralValue]
    """The searches to make next, all at once; empty when there is none left to try.

    Only the step after the rewriting sees them, so that no run searches for an earlier run's.
    """
    in_vain: Annotated[bool, EphemeralValue]
    """What was found does not help. Only the step after the grading sees it: a rewriting without
    it begins a run, and makes its question stand alone."""
    asked: str
    """The question as it stands alone, without the conversation: it is searched and answered."""
    conversation: list[Turn]
    """The earlier questions and answers of this thread, the latest last; bounded."""
    candidates: list[Passage]
    """What the last searches found."""
    rewrites: int
    """How often this run has looked for other searches; each time there may be several."""
    grades: dict[str, float | None]
    """Every grade given in this run, by passage id: a passage is graded once."""
    degraded: list[str]
    """Why this run lacks something it should have, in the order it happened."""
    language_model_down: bool
    """The language model did not answer in this run: it is not asked again."""
    begun: float
    """On ``time.monotonic``, when the run began."""
    deadline: float | None
    """On ``time.monotonic``: no search is begun after it."""
