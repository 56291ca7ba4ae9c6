"""``generate``: the answer, streamed, with its citations, its verdicts and its status."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from langgraph.runtime import Runtime

from backends.reader import Reader, Thought, Turn
from backends.recording import record_support
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.deadline import seconds_left
from graph.state import RagState, Status
from graph.step import Step
from graph.verdict import Verdict
from nodes.beginning import is_asked_by_message
from nodes.citations import cite
from nodes.claims import Claim, without
from nodes.conversation import continued
from nodes.verification import WAIT_S, Verification, verifying

NOT_FOUND = "The indexed documents do not answer this question."
EXTRACTIVE = "Extracts: these sentences are quoted from the documents, not written by a model."
NOTHING_INDEXED = "Nothing is indexed yet: run `tandem index PATH`."
UNCITED = "The model cited no passage: check this answer against the documents."
CUT = "The answer was cut off at the deadline."
NOT_VERIFIED = "Not checked against the documents: the deadline was near."
_LEAST_S = 1.0
"""For an answer, however late it is begun: something is better than nothing."""


class _Written(NamedTuple):
    """What a reader wrote, as far as it came."""

    text: str
    checked: list[tuple[Claim, Verdict]]
    reader: Reader
    """Who wrote it."""


async def generate(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader, step: Step
) -> dict[str, Any]:
    """Answer from the relevant documents, or say that they do not answer."""
    documents = state["documents"]
    degraded = list(state.get("degraded", []))
    if state.get("language_model_down", False):
        reader = fallback
    mode = "off" if seconds_left(state) == 0 else runtime.context.verification
    async with verifying(state["asked"], documents, step.verdict) as verification:
        watching = None if mode == "off" else verification
        written = await _write(state, degraded, (reader, fallback), watching, step)
    _record(written.checked, written.reader is fallback)
    struck = [claim for claim, verdict in written.checked if verdict["supported"] is False]
    kept = without(written.text, struck) if mode == "enforce" else written.text
    answer, citations = cite(kept, documents)
    notices = degraded + _notices(answer, bool(citations), extractive=written.reader is fallback)
    if struck:
        notices.append(_unsupported(len(struck), len(written.checked), enforced=mode == "enforce"))
    if mode != runtime.context.verification and answer:
        notices.append(NOT_VERIFIED)
    if not (answer or degraded or state.get("candidates")):  # vectors always find something
        notices.append(NOTHING_INDEXED)
    status = _status(answer, bool(citations), bool(degraded))
    step.report(citations=len(citations), status=status)
    said = {"role": "assistant", "content": answer or NOT_FOUND, "citations": citations}
    return {
        **({"messages": [said]} if is_asked_by_message(state.get("messages", [])) else {}),
        "answer": answer or NOT_FOUND,
        "citations": citations,
        "verdicts": [verdict for _, verdict in written.checked],
        "documents": documents,
        "status": status,
        "reader": written.reader.name,
        **({"model": None} if written.reader is fallback else {}),
        "notice": " ".join(notices),
        "conversation": continued(
            state.get("conversation", []), Turn(question=state["asked"], answer=answer)
        ),
    }


async def _write(
    state: RagState,
    degraded: list[str],
    readers: tuple[Reader, Reader],
    verification: Verification | None,
    step: Step,
) -> _Written:
    """The answer of the first reader, or of the second where the first does not begin one.

    What arrived before a failure or the deadline is kept; the reason is added to ``degraded``.
    """
    pieces: list[str] = []
    reader, fallback = readers
    failure = ""
    left = seconds_left(state)
    try:
        async with asyncio.timeout(None if left is None else max(left, _LEAST_S)):
            await _collect(reader, state, pieces, verification, step)
    except TimeoutError:
        failure = CUT
    except LanguageModelUnavailable as exc:
        failure = str(exc)
    if failure:
        degraded.append(failure)
        if not pieces:
            reader = fallback
            await _collect(reader, state, pieces, verification, step)
    checked = []
    if verification is not None:
        left = seconds_left(state)
        checked = await verification.finish(reader, WAIT_S if left is None else min(WAIT_S, left))
    return _Written("".join(pieces), checked, reader)


async def _collect(
    reader: Reader,
    state: RagState,
    pieces: list[str],
    verification: Verification | None,
    step: Step,
) -> None:
    """The answer's pieces to the reader and into ``pieces``: those before a failure are kept."""
    if not state["documents"]:
        return
    async for piece in reader.answer(state["asked"], state["documents"]):
        if isinstance(piece, Thought):
            step.thinking(piece.text)
            continue
        pieces.append(piece)
        step.token(piece)
        if verification is not None:
            verification.feed(piece, reader)


def _record(checked: Sequence[tuple[Claim, Verdict]], extractive: bool) -> None:
    """Puts the verdicts down in the run's trace."""
    verdicts = [verdict for _, verdict in checked]
    supported = sum(verdict["supported"] is True for verdict in verdicts)
    failed = [verdict["sentence"] for verdict in verdicts if verdict["supported"] is False]
    record_support(supported, failed, "CODE" if extractive else "LLM")


def _notices(answer: str, cited: bool, *, extractive: bool) -> list[str]:
    if not answer:
        return []
    if extractive:
        return [EXTRACTIVE]
    return [] if cited else [UNCITED]


def _unsupported(count: int, of: int, *, enforced: bool) -> str:
    """How many sentences failed their check, and what became of them."""
    if enforced:
        return f"Struck, because the cited passages do not say so: {count} of {of} sentences."
    return f"Not supported by the cited passages: {count} of {of} sentences."


def _status(answer: str, cited: bool, degraded: bool) -> Status:
    if not answer:
        return "not_found"
    return "answered" if cited and not degraded else "degraded"
