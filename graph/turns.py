"""What a thread keeps of each run for people: the turn as it was shown, also one that was stopped.

The ``conversation`` in the graph's state is another matter: short, and what the language model is
told of earlier turns. What is kept here is for reading alone, and stands beside that state.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from backends.conversations.threads import Threads
from backends.language_model import LanguageModel
from backends.reader import Turn
from backends.tracing import untraced
from errors import UnavailableError
from graph.builder import RagGraph
from graph.state import RagOutput
from graph.step import Event
from graph.verdict import Verdict
from nodes.citations import cite
from nodes.conversation import continued

log = logging.getLogger("tandem")

STOPPED = "Stopped before it was complete."
STOPPED_WITHIN_S = 1.0
"""For keeping a turn that was stopped: whoever stops a run does not wait for more than this."""
MAX_CHARS = 200_000
"""Of a turn with its passages; of a larger one the words alone are remembered."""


class ShownTurn(TypedDict):
    """A turn of a thread as it was shown."""

    turn: Turn
    """As the conversation has it."""
    stopped: bool
    """Whether it was ended before its answer was complete."""
    result: RagOutput


async def turn_kept(
    events: AsyncGenerator[Event],
    *,
    graph: RagGraph,
    threads: Threads,
    thread: str,
    model: LanguageModel | None,
) -> AsyncGenerator[Event]:
    """The events of a run on a thread, which then keeps the turn as it was shown.

    A run that is cancelled after it has begun to write becomes a turn as well, with what it had
    written; one that had written nothing, or fails, leaves the conversation as it was. The run has
    ended, and with it the language model's work, before anything is kept. Nobody else may run on
    the thread meanwhile. ``model`` is the one that writes; None: the extractive reader does.
    """
    seen = _Seen()
    keep = partial(_keep, seen, graph, threads, thread, model)
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                seen.take(event)
                yield event
    except (asyncio.CancelledError, GeneratorExit):
        await keep()
        raise
    await keep()


def turns_shown(
    conversation: Sequence[Turn], kept: Sequence[str]
) -> list[tuple[Turn, ShownTurn | None]]:
    """Each turn of a conversation with how it was shown; None where that was not kept."""
    shown: list[ShownTurn] = [json.loads(each) for each in kept]
    turns: list[tuple[Turn, ShownTurn | None]] = []
    for turn in reversed(conversation):
        found = shown.pop() if shown and shown[-1]["turn"] == turn else None
        turns.append((turn, found))
    return turns[::-1]


class _Seen:
    """What has been seen of a run."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.verdicts: list[Verdict] = []
        self.complete = False
        """Whether the answer was written to its end."""

    def take(self, event: Event) -> None:
        data = event["data"]
        if event["event"] == "token":
            self._pieces.append(data["text"])
        elif event["event"] == "verdict":
            self.verdicts.append(data)
        elif event["event"] == "step" and data["state"] == "finished":
            self.complete = data["step"] == "generate"

    @property
    def text(self) -> str:
        return "".join(self._pieces).strip()


async def _keep(
    seen: _Seen, graph: RagGraph, threads: Threads, thread: str, model: LanguageModel | None
) -> None:
    """Keeps the turn, if it is one. The answer was given: what goes wrong here is not its error."""
    if not (seen.complete or seen.text):
        return
    try:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            config: RunnableConfig = {"configurable": {"thread_id": thread}}
            state = await _final_state(seen, graph, config, model)
            if state is not None:
                shown = json.dumps(_shown(state, stopped=not seen.complete))
                if len(shown) <= MAX_CHARS:
                    await threads.remember(thread, shown)
    except (UnavailableError, TimeoutError) as exc:
        log.warning("A turn was not kept as it was shown: %s", exc or "that took too long.")


async def _final_state(
    seen: _Seen, graph: RagGraph, config: RunnableConfig, model: LanguageModel | None
) -> Mapping[str, Any] | None:
    """The state after the turn; None where the run broke off in a way that leaves no turn."""
    kept = await graph.aget_state(config)
    if seen.complete:
        return None if kept.next else kept.values
    if kept.next != ("generate",):
        return None
    update = _stopped(kept.values, seen, model)
    with untraced():  # the trace of the run has ended
        await graph.aupdate_state(config, update, as_node="generate")
    return {**kept.values, **update}


def _stopped(state: Mapping[str, Any], seen: _Seen, model: LanguageModel | None) -> dict[str, Any]:
    """What ``generate`` would have returned, had what it wrote been all."""
    answer, citations = cite(seen.text, state["documents"])
    turn = Turn(question=state["asked"], answer=answer)
    return {
        "answer": answer,
        "citations": citations,
        "verdicts": seen.verdicts,
        "status": "degraded",
        "reader": "extractive" if model is None or state["language_model_down"] else model.name,
        "notice": STOPPED,
        "conversation": continued(state.get("conversation", []), turn),
    }


def _shown(state: Mapping[str, Any], *, stopped: bool) -> ShownTurn:
    result = {key: state.get(key) for key in RagOutput.__annotations__}
    return {"turn": state["conversation"][-1], "stopped": stopped, "result": result}  # type: ignore[typeddict-item]  # the keys are the type's own
