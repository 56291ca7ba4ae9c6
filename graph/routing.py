"""Where a run goes next: pure functions of the state and the knobs.

They wait for nothing, and are coroutines all the same: LangGraph calls a plain function in another
thread, which costs each question more than the function does.
"""

from typing import Literal

from langgraph.runtime import Runtime

from graph.context import RagContext
from graph.deadline import seconds_to_search
from graph.state import RagState


async def route_at_start(state: RagState) -> Literal["retrieve", "rewrite_query"]:
    """Search at once; a question that follows others is first made to stand alone."""
    said = sum(message.type == "human" for message in state.get("messages", []))
    return "rewrite_query" if state.get("conversation") or said > 1 else "retrieve"


async def route_after_grading(
    state: RagState, runtime: Runtime[RagContext]
) -> Literal["generate", "rewrite_query"]:
    """Answer once something relevant was found; search again while that is allowed."""
    if state["documents"] or state["rewrites"] >= runtime.context.max_rewrites:
        return "generate"
    return "generate" if seconds_to_search(state, runtime.context) == 0 else "rewrite_query"


async def route_after_rewriting(
    state: RagState, runtime: Runtime[RagContext]
) -> Literal["retrieve", "generate"]:
    """Search with the new queries; without one, or without time, there is nothing left to try."""
    in_time = not state["queries"] or seconds_to_search(state, runtime.context) != 0
    return "retrieve" if state["searches"] and in_time else "generate"
