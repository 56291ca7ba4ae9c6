"""``generate``: the answer, streamed, with its citations and its status."""

from typing import Any

from langgraph.config import get_stream_writer
from langgraph.runtime import Runtime

from backends.reader import Passage, Reader
from errors import LanguageModelUnavailable
from graph.context import RagContext
from graph.state import RagState, Status
from nodes.citations import cite

NOT_FOUND = "The indexed documents do not answer this question."
EXTRACTIVE = "Extracts: these sentences are quoted from the documents, not written by a model."
NOTHING_INDEXED = "Nothing is indexed yet: run `tandem index PATH`."
UNCITED = "The model cited no passage: check this answer against the documents."


async def generate(
    state: RagState, runtime: Runtime[RagContext], *, reader: Reader, fallback: Reader
) -> dict[str, Any]:
    """Answer from the relevant documents, or say that they do not answer."""
    documents = state["documents"]
    degraded = list(state.get("degraded", []))
    if state.get("language_model_down", False):
        reader = fallback
    pieces: list[str] = []
    try:
        await _collect(reader, state["question"], documents, pieces)
    except LanguageModelUnavailable as exc:
        degraded.append(str(exc))
        if not pieces:
            reader = fallback
            await _collect(reader, state["question"], documents, pieces)
    answer, citations = cite("".join(pieces), documents)
    notices = degraded + _notices(answer, bool(citations), extractive=reader is fallback)
    if not (answer or degraded or state.get("candidates")):  # vectors always find something
        notices.append(NOTHING_INDEXED)
    status = _status(answer, bool(citations), bool(degraded))
    get_stream_writer()({"step": "generate", "citations": len(citations), "status": status})
    return {
        "answer": answer or NOT_FOUND,
        "citations": citations,
        "documents": documents,
        "status": status,
        "reader": reader.name,
        "notice": " ".join(notices),
    }


async def _collect(
    reader: Reader, question: str, documents: list[Passage], pieces: list[str]
) -> None:
    """The answer's pieces into ``pieces``, so that those before a failure are kept."""
    if not documents:
        return
    async for piece in reader.answer(question, documents):
        pieces.append(piece)  # noqa: PERF401 - a comprehension would lose them on a failure


def _notices(answer: str, cited: bool, *, extractive: bool) -> list[str]:
    if not answer:
        return []
    if extractive:
        return [EXTRACTIVE]
    return [] if cited else [UNCITED]


def _status(answer: str, cited: bool, degraded: bool) -> Status:
    if not answer:
        return "not_found"
    return "answered" if cited and not degraded else "degraded"
