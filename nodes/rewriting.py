"""``rewrite_query``: other searches for what was not found, or a follow-up question made whole."""

import asyncio
from typing import Any, cast

from langgraph.runtime import Runtime

from backends.queries import MAX_QUERIES, untried
from backends.reader import Reader, Rewriting
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.deadline import seconds_to_search
from graph.state import RagState
from graph.step import Step
from nodes.beginning import beginning, question_of

NOT_REWRITTEN = "No other search was tried: the deadline was near."


async def rewrite_query(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader, step: Step
) -> dict[str, Any]:
    """Searches that were not tried yet, or none; at the start of a run, the question alone."""
    if state.get("in_vain"):
        found, missing = await _other_searches(state, runtime.context, reader, fallback)
    else:
        found, missing = await _standing_alone(state, runtime.context, reader, fallback), ""
    step.report(queries=found["searches"], missing=missing)
    return found


async def _standing_alone(
    state: RagState, context: RagContext, reader: Reader, fallback: Reader
) -> dict[str, Any]:
    """The beginning of a run on a question that follows others."""
    question, conversation = question_of(state)
    begun = beginning(context, question)
    degraded: list[str] = []
    down = False
    try:
        async with asyncio.timeout(seconds_to_search(cast(RagState, begun), context)):
            asked = await reader.stand_alone(question, conversation)
    except (LanguageModelUnavailable, TimeoutError) as exc:
        down = isinstance(exc, LanguageModelUnavailable)
        degraded += [str(exc)] if down else []
        asked = await fallback.stand_alone(question, conversation)
    return {
        **begun,
        "asked": asked,
        "question": question,
        "conversation": conversation,
        "searches": [asked],
        "degraded": degraded,
        "language_model_down": down,
    }


async def _other_searches(
    state: RagState, context: RagContext, reader: Reader, fallback: Reader
) -> tuple[dict[str, Any], str]:
    """What the reader would search for next, without what was tried, and what it finds missing."""
    degraded = list(state.get("degraded", []))
    down = state.get("language_model_down", False)
    arguments = (state["asked"], state["queries"], state["candidates"])
    try:
        async with asyncio.timeout(seconds_to_search(state, context)):
            rewriting = await (fallback if down else reader).rewrite(*arguments)
    except TimeoutError:
        degraded.append(NOT_REWRITTEN)
        rewriting = Rewriting([])
    except LanguageModelUnavailable as exc:
        down = True
        degraded.append(str(exc))
        rewriting = await fallback.rewrite(*arguments)
    found = {
        "searches": untried(rewriting.queries, state["queries"])[:MAX_QUERIES],
        "rewrites": state["rewrites"] + 1,
        "degraded": degraded,
        "language_model_down": down,
    }
    return found, rewriting.missing
