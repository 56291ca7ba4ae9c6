"""What the tools return, made from what a library returns, and bounded: a model pays for it all."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from typing_extensions import TypedDict

from errors import NotFound
from graph.citation import place
from graph.freshness import in_words

SNIPPET_CHARS = 800
DOCUMENT_CHARS = 20_000
ANSWER_CHARS = 20_000
QUOTE_CHARS = 400
MOST_CITATIONS = 30
MOST_FAILED = 20
_GAP = "\n\n"


class Result(TypedDict):
    """A passage that was found."""

    id: str
    title: str
    url: str
    text: str


class SearchResults(TypedDict):
    """What ``search`` returns."""

    results: list[Result]
    note: str


class Fetched(TypedDict):
    """What ``fetch`` returns."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any]


class Source(TypedDict):
    """Where a marker of an answer points to."""

    marker: int
    id: str
    title: str
    url: str
    quote: str


class Answer(TypedDict):
    """What ``ask`` returns."""

    answer: str
    status: str
    sources: list[Source]
    note: str


class Sources(TypedDict):
    """What ``list_sources`` returns."""

    sources: list[dict[str, str]]
    total: int
    next_offset: int | None


def search_results(found: dict[str, Any]) -> SearchResults:
    """Passages as ChatGPT's and Claude's connectors expect them."""
    results = [
        Result(
            id=passage["id"],
            title=_title(passage),
            url=document_url(passage["source"], passage["position"]),
            text=_cut(passage["text"], SNIPPET_CHARS, "fetch this id for the rest"),
        )
        for passage in found["passages"]
    ]
    nothing = "" if results else "Nothing found. Try other words, or list_sources."
    return SearchResults(
        results=results, note=_notes(found["notice"], in_words(found["index"]), nothing)
    )


def fetched_passage(found: dict[str, Any]) -> Fetched:
    """A passage with as much of its document around it as fits."""
    middle = found["passage"]
    window = _window(middle, found["before"], found["after"])
    following = next((p["position"] for p in found["after"] if p not in window), None)
    return _fetched(middle, window, following, _metadata(middle))


def fetched_document(found: dict[str, Any]) -> Fetched:
    """A document from a passage on, as much of it as fits."""
    window, following = _page(found)
    first = window[0]
    metadata = {"source": first["source"]}
    return {**_fetched(first, window, following, metadata), "id": first["source"]}


def answer(output: dict[str, Any]) -> Answer:
    """A run's output as far as another model has use for it."""
    return Answer(
        answer=_cut(output["answer"], ANSWER_CHARS, "ask something narrower"),
        status=output["status"],
        sources=[
            Source(
                marker=citation["marker"],
                id=citation["id"],
                title=place(citation),
                url=document_url(citation["source"]),
                quote=_cut(citation["quote"], QUOTE_CHARS, "fetch this id for the rest"),
            )
            for citation in output["citations"][:MOST_CITATIONS]
        ],
        note=_notes(output["notice"], in_words(output["index"])),
    )


def sources(status: dict[str, Any], *, prefix: str, offset: int, limit: int) -> Sources:
    """A page of the indexed documents, in the order of their names."""
    found = [d for d in status["documents"] if d["source"].startswith(prefix)]
    found.sort(key=lambda document: document["source"])
    page = [
        {
            key: str(document[key])
            for key in ("source", "state", "reason")
            if document[key] and document[key] != "indexed"
        }
        for document in found[offset : offset + limit]
    ]
    more = offset + limit < len(found)
    return Sources(sources=page, total=len(found), next_offset=offset + limit if more else None)


def summary(status: dict[str, Any]) -> dict[str, Any]:
    """How the index is, without a line for every document."""
    documents = status["documents"]
    failed = [d for d in documents if d["state"] == "failed"]
    states = sorted({d["state"] for d in documents})
    return {
        "documents": {state: sum(d["state"] == state for d in documents) for state in states},
        "passages": status["points"],
        "freshness": in_words(status["index"]) or "The index is up to date with the files.",
        "index": status["index"],
        "syncing": status["syncing"],
        "error": status["error"],
        "failed": [{"source": d["source"], "reason": d["reason"]} for d in failed[:MOST_FAILED]],
        "failed_not_shown": max(0, len(failed) - MOST_FAILED),
    }


def document_url(source: str, position: int = 0) -> str:
    """The address by which the bridge's resource is read, from a passage on."""
    start = f"?start={position}" if position else ""
    return f"tandem://documents/{quote(source, safe='/')}{start}"


def document_text(found: dict[str, Any]) -> str:
    """A page of a document, and at its end how to read on."""
    window, following = _page(found)
    text = _text(window)
    if following is None:
        return text
    return f"{text}{_GAP}[Read on at {document_url(found['source'], following)}]"


def place_of(identifier: str) -> tuple[str, int]:
    """The source, and the passage to begin with, of an address as ``document_url`` makes them.

    What is no such address is a source.

    Raises:
        NotFound: the address is none of a document.
    """
    if not identifier.startswith("tandem:"):
        return identifier, 0
    address = urlsplit(identifier)
    start = parse_qs(address.query).get("start", ["0"])[-1]
    source = unquote(address.path.removeprefix("/"))
    if address.netloc != "documents" or not source or not start.isdecimal():
        raise NotFound(
            f"{identifier[:200]!r} is no address of a document: they look like "
            "tandem://documents/docs/guide.md?start=12."
        )
    return source, int(start)


def _fetched(
    passage: dict[str, Any],
    window: Sequence[dict[str, Any]],
    following: int | None,
    metadata: dict[str, Any],
) -> Fetched:
    if following is not None:
        metadata = {**metadata, "read_on": document_url(passage["source"], following)}
    return Fetched(
        id=passage["id"],
        title=_title(passage),
        text=_text(window),
        url=document_url(passage["source"], passage["position"]),
        metadata=metadata,
    )


def _page(found: dict[str, Any]) -> tuple[list[dict[str, Any]], int | None]:
    """The passages of a document that fit together, and where the next page begins."""
    first, *rest = found["passages"]
    window = _window(first, [], rest)
    return window, next((p["position"] for p in rest if p not in window), found["next"])


def _window(
    middle: dict[str, Any], before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Neighbouring passages around one, from it outwards, as long as all fit together."""
    window, length = [middle], len(middle["text"])
    earlier, later = list(reversed(before)), list(after)
    while earlier or later:
        is_before = bool(earlier) and (not later or len(earlier) >= len(later))
        passage = (earlier if is_before else later).pop(0)
        length += len(_GAP) + len(passage["text"])
        if length > DOCUMENT_CHARS:
            break
        window.insert(0 if is_before else len(window), passage)
    return window


def _text(window: Sequence[dict[str, Any]]) -> str:
    return _cut(_GAP.join(passage["text"] for passage in window), DOCUMENT_CHARS, "it is cut here")


def _title(passage: dict[str, Any]) -> str:
    return place(passage)  # type: ignore[arg-type]  # a passage has what is needed of a citation


def _metadata(passage: dict[str, Any]) -> dict[str, Any]:
    keys = ("source", "heading", "page", "start_line", "end_line", "also_in")
    return {key: passage[key] for key in keys if passage[key]}


def _cut(text: str, limit: int, more: str) -> str:
    return text if len(text) <= limit else f"{text[:limit].rstrip()} […: {more}]"


def _notes(*notes: str) -> str:
    return " ".join(note for note in notes if note)
