"""Answers as HTML that nobody can hide anything in: Markdown, rendered and sanitised on the server.

Documents and models write what they like. What leaves here has no script, no style, no image and
no link: a picture becomes its description, a link its text. A link that may point into the
indexed documents keeps its path, as data that the page can look up among the retrieved sources.
"""

import html
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from api.http.event_stream import TypedEvents, frame
from errors import TandemError
from graph.step import Event

_TAGS = {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li",
    "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "span",
}  # fmt: skip
_ATTRIBUTES = {"ol": {"start"}, "span": {"data-source"}}
_TOP_HEADING = 4
"""What a heading of an answer begins at: those above it are the page's own."""
_FINER = 40
"""An unfinished block is rendered anew when it has grown by this part of it, so that a long one
costs no more than its length times this."""


def render(markdown: str) -> str:
    """The text as HTML, safe to be put into a page."""
    return _safe(_MARKDOWN.render(markdown))


class MarkdownStream:
    """Renders a growing text block by block: a block that is complete is never rendered again."""

    def __init__(self) -> None:
        self._rest = ""
        self._rendered = 0
        self._complete = 0

    def feed(self, piece: str) -> list[tuple[int, str]]:
        """Takes the next piece; the blocks that are to be shown anew, by their number from 0.

        The last one may still be incomplete, and the next call's first is then the same one.
        """
        self._rest += piece
        grown = len(self._rest) - self._rendered
        if grown * _FINER < len(self._rest):
            return []
        return self._render()

    def finish(self) -> list[tuple[int, str]]:
        """The blocks that were not shown to their end."""
        return self._render() if self._rendered < len(self._rest) else []

    def _render(self) -> list[tuple[int, str]]:
        *complete, last = _blocks(self._rest)
        shown = [(self._complete + n, render(block)) for n, block in enumerate([*complete, last])]
        self._complete += len(complete)
        self._rest = last
        self._rendered = len(last)
        return shown


class RenderedEvents:
    """Typed events, and beside them the answer as HTML: ``html`` for each block that has changed.

    ``done`` carries the whole answer as ``html`` too: its text may differ from what was streamed.
    """

    def __init__(self) -> None:
        self._typed = TypedEvents()
        self._answer = MarkdownStream()

    def events(self, events: Sequence[Event]) -> bytes:
        """The events; after a piece of the answer, what it looks like now."""
        return b"".join(map(self._one, events))

    def error(self, error: TandemError) -> bytes:
        """What was written until then, to its last character, and the error."""
        return _shown(self._answer.finish()) + self._typed.error(error)

    def _one(self, event: Event) -> bytes:
        if event["event"] == "token":
            shown = _shown(self._answer.feed(event["data"]["text"]))
            return self._typed.events([event]) + shown
        if event["event"] == "done":
            return _shown(self._answer.finish()) + frame("done", rendered(event["data"]))
        return self._typed.events([event])


def rendered(output: Mapping[str, Any]) -> dict[str, Any]:
    """A run's output with its answer as ``html``."""
    return {**output, "html": render(output["answer"])}


def _shown(blocks: Sequence[tuple[int, str]]) -> bytes:
    return b"".join(frame("html", {"block": n, "html": block}) for n, block in blocks)


def _blocks(markdown: str) -> list[str]:
    """The top-level blocks; all but the last cannot change by what may still be added."""
    starts = [t.map[0] for t in _MARKDOWN.parse(markdown) if t.level == 0 and t.map is not None]
    lines = markdown.split("\n")
    cuts = [0, *starts[1:], len(lines)]
    blocks = ["\n".join(lines[a:b]) for a, b in pairwise(cuts)]
    return [block + "\n" for block in blocks[:-1]] + blocks[-1:]


def _safe(rendered: str) -> str:
    return nh3.clean(rendered, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=set())


class _Renderer(RendererHTML):
    """Markdown's HTML without anything that is fetched or followed."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return html.escape(self.renderInlineAsText(tokens[idx].children, options, env))

    def link_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        path = _local_path(str(tokens[idx].attrGet("href") or ""))
        return f'<span data-source="{html.escape(path)}">' if path else "<span>"

    def link_close(self, *_: Any) -> str:
        return "</span>"

    def heading_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f"<{_heading(tokens[idx])}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f"</{_heading(tokens[idx])}>\n"


def _heading(token: Token) -> str:
    return f"h{min(6, _TOP_HEADING - 1 + int(token.tag[1:]))}"


def _local_path(href: str) -> str:
    """The path of a link that stays within its documents; else empty."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    path = unquote(parts.path)
    return "" if parts.scheme or parts.netloc or "\\" in path else path


def _markdown() -> MarkdownIt:
    rules = ["table", "strikethrough"]
    reader = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(rules)
    # [1] is a citation's marker, wherever a document's text may define a reference of that name.
    reader.disable("reference")
    reader.validateLink = lambda url: True  # type: ignore[method-assign]  # none is kept as a link
    return reader


_MARKDOWN = _markdown()
