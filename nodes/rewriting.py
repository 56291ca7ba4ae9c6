"""``rewrite_query``: another way to search for what was not found, or for a follow-up question."""

from typing import Any

from langgraph.runtime import Runtime

from backends.reader import Reader
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.question import check_question
from graph.state import RagState
from graph.step import Step
from nodes.beginning import beginning


async def rewrite_query(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader, step: Step
) -> dict[str, Any]:
    """A query that was not tried yet, or none; at the start of a run, the question alone."""
    if state.get("in_vain"):
        found = await _another_query(state, reader, fallback)
    else:
        found = await _standing_alone(state, runtime.context, reader, fallback)
    step.report(queries=[found["query"]] if found["query"] else [], missing="")
    return found


async def _standing_alone(
    state: RagState, context: RagContext, reader: Reader, fallback: Reader
) -> dict[str, Any]:
    """The beginning of a run on a question that follows others."""
    question = check_question(state.get("question"))
    conversation = state["conversation"]
    degraded: list[str] = []
    try:
        asked = await reader.stand_alone(question, conversation)
    except LanguageModelUnavailable as exc:
        degraded.append(str(exc))
        asked = await fallback.stand_alone(question, conversation)
    return {
        **beginning(context, asked),
        "question": question,
        "query": asked,
        "degraded": degraded,
        "language_model_down": bool(degraded),
    }


async def _another_query(state: RagState, reader: Reader, fallback: Reader) -> dict[str, Any]:
    """What the reader would search for next; empty where it repeats itself."""
    tried = state["queries"]
    degraded = list(state.get("degraded", []))
    down = state.get("language_model_down", False)
    arguments = (state["asked"], tried, state["candidates"])
    try:
        query = await (fallback if down else reader).rewrite(*arguments)
    except LanguageModelUnavailable as exc:
        down = True
        degraded.append(str(exc))
        query = await fallback.rewrite(*arguments)
    if query is None or query.casefold() in (old.casefold() for old in tried):
        query = ""
    return {"query": query, "degraded": degraded, "language_model_down": down}
