"""The events of ``POST /ask`` as a schema. Written down for clients; nothing is validated by it."""

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from graph.citation import Citation
from graph.state import RagOutput, Status
from graph.verdict import Verdict

_STRICT = ConfigDict(extra="forbid")
_PLACE = "#/components/schemas/Ask{model}"
"""Under names of its own: other routes have passages too."""
Node = Literal["retrieve", "grade_relevance", "rewrite_query", "generate"]


@with_config(_STRICT)
class FoundPassage(TypedDict):
    """A passage that a search has found, by its beginning."""

    id: str
    source: str
    title: str
    heading: str
    page: int | None
    start_line: int | None
    end_line: int | None
    score: float
    excerpt: str


@with_config(_STRICT)
class Grade(TypedDict):
    """What a passage was graded; null where the grade is unknown, and the passage is kept."""

    id: str
    relevance: float | None
    kept: bool


@with_config(_STRICT)
class StepStarted(TypedDict):
    """A node begins."""

    step: Node
    state: Literal["started"]


@with_config(_STRICT)
class StepFinished(TypedDict):
    """A node has ended, after so many milliseconds; the other keys depend on the node."""

    step: Node
    state: Literal["finished"]
    ms: float
    queries: NotRequired[list[str]]
    found: NotRequired[int]
    passages: NotRequired[list[FoundPassage]]
    graded: NotRequired[int]
    unknown: NotRequired[int]
    relevant: NotRequired[int]
    grades: NotRequired[list[Grade]]
    missing: NotRequired[str]
    citations: NotRequired[int]
    status: NotRequired[Status]


@with_config(_STRICT)
class Text(TypedDict):
    """A piece of text; the pieces add up."""

    text: str


@with_config(_STRICT)
class Failure(TypedDict):
    """Why there is no answer, and what to do about it."""

    code: str
    message: str
    field: NotRequired[str]
    """What of the request is wrong, where it is one thing."""
    request_id: NotRequired[str]


EVENTS: dict[str, TypeAdapter[Any]] = {
    "step": TypeAdapter(StepStarted | StepFinished),
    "thinking": TypeAdapter(Text),
    "token": TypeAdapter(Text),
    "verdict": TypeAdapter(Verdict),
    "citation": TypeAdapter(Citation),
    "done": TypeAdapter(RagOutput),
    "error": TypeAdapter(Failure),
}
"""The data of each event, by its name."""


def stream_content() -> dict[str, Any]:
    """The stream as OpenAPI describes one: an item for each event, its data JSON in a string."""
    return {"itemSchema": {"oneOf": [_item(name) for name in EVENTS]}}


def event_schemas() -> dict[str, Any]:
    """The components that ``stream_content`` refers to."""
    schemas, definitions = TypeAdapter.json_schemas(
        [(name, "serialization", adapter) for name, adapter in EVENTS.items()],
        ref_template=_PLACE,
    )
    return {
        **{f"Ask{name}": schema for name, schema in definitions["$defs"].items()},
        **{f"Ask{_model(name)}": schemas[name, "serialization"] for name in EVENTS},
    }


def _item(name: str) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": _PLACE.format(model=_model(name))},
    }
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"const": name}, "data": data},
    }


def _model(name: str) -> str:
    return f"{name.capitalize()}Event"
