"""An answer's HTML: readable Markdown, and nothing that loads, runs or leads away."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from api.rendering import MarkdownStream, RenderedEvents, render
from errors import LanguageModelUnavailable
from graph.step import Event


class Tags(HTMLParser):
    """What a browser would make of some HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update((name, value or "") for name, value in attrs)


TEXT = """Tandem has *two* machines [1].

- one embeds
- one answers

| machine | runs |
|---|---|
| server | vLLM |

```
TANDEM_HOST=127.0.0.1

TANDEM_PORT=8000
```

The end."""


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**bold** and `code` [1]", "<p><strong>bold</strong> and <code>code</code> [1]</p>\n"),
        ("# Title", "<h4>Title</h4>\n"),
        ("###### Small", "<h6>Small</h6>\n"),
        ("3. three", '<ol start="3">\n<li>three</li>\n</ol>\n'),
        ("a < b && c", "<p>a &lt; b &amp;&amp; c</p>\n"),
        ("[settings](../settings.md#llm)", "../settings.md"),
        # A reference that a document defines must not swallow a marker.
        ("So it is [1].\n\n[1]: http://evil.example", "<p>So it is [1].</p>\n"),
    ],
)
def test_markdown_becomes_what_it_means(markdown: str, html: str) -> None:
    assert html in render(markdown)


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![pixel](http://evil.example/p.png)",
        "![pixel](data:image/svg+xml;base64,PHN2Zz4=)",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert(1))",
        "[click](https://evil.example/?q=secret)",
        "[click](//evil.example)",
        "[click](\\\\evil.example\\share)",
        "[click](<http://[broken>)",
        "<https://evil.example>",
        "[x]: http://evil.example\n\n[x]",
        '[a](docs/"onclick="alert(1))',
        "`<b onclick=alert(1)>`",
        '<a href="http://evil.example">x</a>',
        "| a |\n|---|\n| <iframe src=//evil.example> |",
    ],
)
def test_nothing_can_be_fetched_run_or_followed(markdown: str) -> None:
    found = Tags()
    found.feed(render(markdown))
    assert found.names <= {"p", "span", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(found.attributes) <= {"data-source"}
    assert not any(":" in path or "//" in path for path in found.attributes.values())


def test_a_pictures_description_and_a_links_words_stay() -> None:
    assert render("![the *tower*](http://evil.example/x.png)") == "<p>the tower</p>\n"
    assert render("[click here](javascript:alert(1))") == "<p><span>click here</span></p>\n"


def streamed(text: str, size: int) -> list[str]:
    """The blocks that a page shows in the end."""
    stream = MarkdownStream()
    blocks: dict[int, str] = {}
    for start in range(0, len(text), size):
        blocks.update(stream.feed(text[start : start + size]))
    blocks.update(stream.finish())
    return [blocks[number] for number in sorted(blocks)]


@pytest.mark.parametrize("size", [1, 3, 17, 1000])
def test_a_streamed_text_looks_like_the_whole_however_it_arrives(size: int) -> None:
    blocks = streamed(TEXT, size)
    assert "".join(blocks) == render(TEXT)
    assert len(blocks) == 5


def test_a_block_that_is_complete_is_not_sent_again() -> None:
    stream = MarkdownStream()
    stream.feed("One.\n\nTw")
    assert [number for number, _ in stream.feed("o.")] == [1]


def test_a_long_block_is_not_rendered_for_every_character() -> None:
    stream = MarkdownStream()
    renderings = sum(len(stream.feed(letter)) for letter in "word " * 2_000)
    assert renderings < 400
    assert stream.finish()[0][1].count("word") == 2_000


def events_of(frames: bytes) -> list[tuple[str, Any]]:
    found = []
    for frame in frames.decode().strip().split("\n\n"):
        name, data = frame.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_run_is_told_with_its_answer_as_html_beside_its_text() -> None:
    form = RenderedEvents()
    token = Event(event="token", data={"text": "It is *so*."})
    told = events_of(form.events([token]))
    assert told == [
        ("token", {"text": "It is *so*."}),
        ("html", {"block": 0, "html": "<p>It is <em>so</em>.</p>\n"}),
    ]
    done = Event(event="done", data={"answer": "It is *so* [1].", "status": "answered"})
    [(name, output)] = events_of(form.events([done]))
    assert name == "done"
    assert output["html"] == "<p>It is <em>so</em> [1].</p>\n"
    assert output["answer"] == "It is *so* [1]."


def test_a_run_that_breaks_off_shows_what_there_was_to_its_last_letter() -> None:
    form = RenderedEvents()
    form.events([Event(event="token", data={"text": "word " * 100})])
    assert events_of(form.events([Event(event="token", data={"text": "e"})]))[-1][0] == "token"
    told = events_of(form.error(LanguageModelUnavailable("It is gone.")))
    assert [name for name, _ in told] == ["html", "error"]
    assert told[0][1]["html"].endswith("word e</p>\n")
