"""``grade_relevance``: which passages help to answer, best first."""

import asyncio
from typing import Any

from langgraph.runtime import Runtime

from backends.reader import Passage, Reader
from backends.recording import record_grades
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.deadline import seconds_to_search
from graph.state import RagState
from graph.step import Step

NOT_GRADED = "The passages were not graded: the deadline was near."


async def grade_relevance(
    state: RagState,
    runtime: Runtime[RagContext],
    *,
    reader: Reader,
    fallback: Reader,
    threshold: float,
    step: Step,
) -> dict[str, Any]:
    """Grade what was not graded yet, keep what is relevant or unknown, in order of relevance.

    The extractive reader, the fallback, brings its own calibrated threshold: 0.5.
    """
    grades = dict(state.get("grades", {}))
    degraded = list(state.get("degraded", []))
    down = state.get("language_model_down", False)
    new = [passage for passage in state["candidates"] if passage["id"] not in grades]
    if new:
        grader = fallback if down else reader
        try:
            # 0 is no time at all: then nothing is asked.
            async with asyncio.timeout(seconds_to_search(state, runtime.context)):
                found = await grader.grade(state["asked"], new)
        except TimeoutError:
            degraded.append(NOT_GRADED)
            found = [None] * len(new)
        except LanguageModelUnavailable as exc:
            down = True
            degraded.append(str(exc))
            found = await fallback.grade(state["asked"], new)
        grades.update(zip((passage["id"] for passage in new), found, strict=True))
    documents = relevant(_all_found(state), grades, threshold)
    unknown = sum(grades[passage["id"]] is None for passage in new)
    kept = {passage["id"] for passage in documents}
    record_grades(grades, kept, "CODE" if down or reader is fallback else "LLM")
    step.report(
        graded=len(new),
        unknown=unknown,
        relevant=len(documents),
        grades=[
            {"id": p["id"], "relevance": grades[p["id"]], "kept": p["id"] in kept}
            for p in state["candidates"]
        ],
    )
    return {
        "documents": documents,
        "grades": grades,
        "in_vain": not documents,
        "degraded": degraded,
        "language_model_down": down,
    }


def _all_found(state: RagState) -> list[Passage]:
    """What the last searches found, and what was kept of the searches before them."""
    ids = {passage["id"] for passage in state["candidates"]}
    kept = [passage for passage in state.get("documents", []) if passage["id"] not in ids]
    return [*state["candidates"], *kept]


def relevant(
    candidates: list[Passage], grades: dict[str, float | None], threshold: float
) -> list[Passage]:
    """The candidates at or above the threshold, best first; the unknown follow in search order.

    An unreadable grade says nothing about a passage, so it must not remove it.
    """
    graded = [Passage(**{**passage, "relevance": grades[passage["id"]]}) for passage in candidates]
    known = [p for p in graded if p["relevance"] is not None and p["relevance"] >= threshold]
    unknown = [p for p in graded if p["relevance"] is None]
    return sorted(known, key=lambda p: -(p["relevance"] or 0.0)) + unknown
