"""What a run starts with, whatever an earlier run on its thread has left."""

import time
from typing import Any

from graph.context import RagContext


def beginning(context: RagContext, asked: str) -> dict[str, Any]:
    """The state of a run that has done nothing yet, to be given by its first node."""
    return {
        "asked": asked,
        "queries": [],
        "rewrites": 0,
        "documents": [],
        "grades": {},
        "degraded": [],
        "language_model_down": False,
        "begun": time.monotonic(),
        "deadline": None if context.deadline_s is None else time.monotonic() + context.deadline_s,
    }
