"""``rewrite_query``: another way to search for what was not found."""

from typing import Any

from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from backends.reader import Reader
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.state import RagState


async def rewrite_query(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader
) -> dict[str, Any]:
    """A query that was not tried yet, or none."""
    tried = state["queries"]
    degraded = list(state.get("degraded", []))
    down = state.get("language_model_down", False)
    arguments = (state["question"], tried, state["candidates"])
    try:
        query = await (fallback if down else reader).rewrite(*arguments)
    except LanguageModelUnavailable as exc:
        down = True
        degraded.append(str(exc))
        query = await fallback.rewrite(*arguments)
    if query is None or query.casefold() in (old.casefold() for old in tried):
        query = ""
    get_stream_writer()({"step": "rewrite_query", "query": query})
    return {"query": query, "degraded": degraded, "language_model_down": down}
