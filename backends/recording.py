"""What a run tells its trace about passages and sentences: scores, grades and verdicts.

Scores are attributes of the search's span. Grades and verdicts are judgements, which Phoenix keeps
beside the spans, adds up for a project, and sorts by; they come later and in the background. With
tracing off all of this does nothing.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from backends.phoenix.annotations import Annotation, Annotator, active
from backends.tracing import current_trace_id, root_span, span_of

if TYPE_CHECKING:
    from langchain_core.documents import Document

RELEVANCE, GROUNDEDNESS = "relevance", "groundedness"
"""The names of the annotations."""

_MAX_TRACES = 256
"""Traces whose searches wait to be graded: far more than run at the same time."""
_searches: OrderedDict[str, list[tuple[str, list[str | None]]]] = OrderedDict()
"""By trace, the searches that are not graded yet: the span's id, and its documents' ids."""


def record_documents(run_id: UUID, documents: Sequence["Document"]) -> None:
    """Give a retriever's span the ids and scores of its documents, by which Phoenix joins.

    To be called by the retriever with its ``run_manager.run_id`` before it returns: openinference
    adds text and metadata after that, and ends the span. A document's score is its metadata's
    ``score``. Attributes: https://arize-ai.github.io/openinference/spec/semantic_conventions.html.
    """
    span = span_of(run_id)
    if span is None:
        return
    for position, document in enumerate(documents):
        prefix = f"retrieval.documents.{position}.document"
        if document.id is not None:
            span.set_attribute(f"{prefix}.id", document.id)
        if (score := document.metadata.get("score")) is not None:
            span.set_attribute(f"{prefix}.score", float(score))
    context = span.get_span_context()
    searches = _searches.setdefault(f"{context.trace_id:032x}", [])
    searches.append((f"{context.span_id:016x}", [document.id for document in documents]))
    while len(_searches) > _MAX_TRACES:
        _searches.popitem(last=False)


def record_grades(grades: Mapping[str, float | None], kept: set[str], by: Annotator) -> None:
    """Annotate the documents of the searches that the run has made since the last time.

    ``grades`` are probabilities by the document's id; what is unknown is left out.
    """
    channel, trace_id = active(), current_trace_id()
    if channel is None or trace_id is None:
        return
    for span_id, ids in _searches.pop(trace_id, []):
        judged = {
            position: Annotation(RELEVANCE, grade, "kept" if each in kept else "left out", by=by)
            for position, each in enumerate(ids)
            if each is not None and (grade := grades.get(each)) is not None
        }
        if judged:
            channel.on_documents(span_id, judged)


def record_support(supported: int, unsupported: Sequence[str], by: Annotator) -> None:
    """Annotate the run with the share of its answer's sentences that their passages support.

    Sentences whose support is unknown count neither way; without any other nothing is put down.
    """
    channel, span = active(), root_span()
    count = supported + len(unsupported)
    if channel is None or span is None or not count:
        return
    label = "supported" if not unsupported else "unsupported" if not supported else "partly"
    explanation = "Not supported: " + " | ".join(unsupported) if unsupported else None
    annotation = Annotation(GROUNDEDNESS, supported / count, label, explanation, by)
    channel.on_span(f"{span.get_span_context().span_id:016x}", annotation)
