"""How a run keeps its deadline: near it, it skips what an answer can do without."""

import time

from graph.context import RagContext
from graph.state import RagState

RESERVED = 0.3
"""The share of a run's time that is kept for writing the answer."""


def seconds_left(state: RagState) -> float | None:
    """Until the deadline, from 0; None without one."""
    deadline = state.get("deadline")
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def seconds_to_search(state: RagState, context: RagContext) -> float | None:
    """Until the answer has to be begun, from 0; None without a deadline."""
    left = seconds_left(state)
    if left is None or context.deadline_s is None:
        return None
    return max(0.0, left - RESERVED * context.deadline_s)
