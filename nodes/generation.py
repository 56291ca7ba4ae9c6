"""``generate``: the answer, streamed, with its citations, its verdicts and its status."""

import time
from typing import Any, NamedTuple

from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from backends.reader import Passage, Reader, Turn
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.state import RagState, Status
from graph.verdict import Verdict
from nodes.citations import cite
from nodes.claims import Claim, without
from nodes.conversation import continued
from nodes.verification import Verification, verifying

NOT_FOUND = "The indexed documents do not answer this question."
EXTRACTIVE = "Extracts: these sentences are quoted from the documents, not written by a model."
NOTHING_INDEXED = "Nothing is indexed yet: run `tandem index PATH`."
UNCITED = "The model cited no passage: check this answer against the documents."
NOT_VERIFIED = "Not checked against the documents: the deadline was near."


class _Written(NamedTuple):
    """What a reader wrote, as far as it came."""

    text: str
    checked: list[tuple[Claim, Verdict]]
    reader: Reader
    """Who wrote it."""


async def generate(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader
) -> dict[str, Any]:
    """Answer from the relevant documents, or say that they do not answer."""
    documents = state["documents"]
    degraded = list(state.get("degraded", []))
    if state.get("language_model_down", False):
        reader = fallback
    mode = "off" if _is_late(state) else runtime.context.verification
    written = await _write(
        state["asked"], documents, degraded, (reader, fallback), verify=mode != "off"
    )
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
    get_stream_writer()({"step": "generate", "citations": len(citations), "status": status})
    return {
        "answer": answer or NOT_FOUND,
        "citations": citations,
        "verdicts": [verdict for _, verdict in written.checked],
        "documents": documents,
        "status": status,
        "reader": written.reader.name,
        "notice": " ".join(notices),
        "conversation": continued(
            state.get("conversation", []), Turn(question=state["asked"], answer=answer)
        ),
    }


async def _write(
    question: str,
    documents: list[Passage],
    degraded: list[str],
    readers: tuple[Reader, Reader],
    *,
    verify: bool,
) -> _Written:
    """The answer of the first reader, or of the second where the first does not begin one.

    What arrived before a failure is kept; the reason is added to ``degraded``.
    """
    pieces: list[str] = []
    reader, fallback = readers
    async with verifying(question, documents, get_stream_writer()) as verification:
        watching = verification if verify else None
        try:
            await _collect(reader, question, documents, pieces, watching)
        except LanguageModelUnavailable as exc:
            degraded.append(str(exc))
            if not pieces:
                reader = fallback
                await _collect(reader, question, documents, pieces, watching)
        checked = await verification.finish(reader) if watching else []
    return _Written("".join(pieces), checked, reader)


async def _collect(
    reader: Reader,
    question: str,
    documents: list[Passage],
    pieces: list[str],
    verification: Verification | None,
) -> None:
    """The answer's pieces into ``pieces``, so that those before a failure are kept."""
    if not documents:
        return
    async for piece in reader.answer(question, documents):
        pieces.append(piece)
        if verification is not None:
            verification.feed(piece, reader)


def _is_late(state: RagState) -> bool:
    """Whether the deadline has passed: then nothing is done that an answer can do without."""
    deadline = state.get("deadline")
    return deadline is not None and time.monotonic() >= deadline


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
