"""What each parser makes of its format: blocks, headings, lines and titles."""

import pytest

from errors import ParsingError
from indexer.formats.markdown import parse_markdown
from indexer.formats.plain_text import parse_data, parse_plain_text
from indexer.formats.restructured_text import parse_restructured_text
from indexer.formats.source_code import parse_python, parse_source_code
from indexer.formats.web_page import parse_web_page
from indexer.suffixes import format_of
from tests.outlines import lines, outline

MARKDOWN = """---
title: "From the front"
---
Intro
goes on.

# Use `it` *now* [here](http://x)

- one
  - nested
- two

| a | b |
|---|---|
| 1 | 2 |

Under
-----
```sh
# no heading

ls
```
> quoted

[link]: http://y
<!-- remark -->
"""


def test_markdown_blocks_have_kinds_headings_and_lines() -> None:
    document = parse_markdown(MARKDOWN, name="file")
    top = "Use it now here"
    assert document.title == "From the front"
    assert outline(document) == [
        ("code", "", '---\ntitle: "From the front"\n---'),
        ("prose", "", "Intro\ngoes on."),
        ("heading", top, "# Use `it` *now* [here](http://x)"),
        ("prose", top, "- one\n  - nested"),
        ("prose", top, "- two"),
        ("table", top, "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("heading", f"{top} > Under", "Under\n-----"),
        ("code", f"{top} > Under", "```sh\n# no heading\n\nls\n```"),
        ("prose", f"{top} > Under", "> quoted"),
        ("prose", f"{top} > Under", "[link]: http://y"),
        ("prose", f"{top} > Under", "<!-- remark -->"),
    ]
    assert lines(document)[3:5] == [(9, 10), (11, 11)]


def test_the_title_of_markdown_is_its_first_heading_of_the_first_rank() -> None:
    assert parse_markdown("## B\n\n# A\n\n# C\n", name="file").title == "A"
    assert parse_markdown("## B\n", name="file").title == "file"


def test_a_title_in_front_matter_stands_above_lesser_headings() -> None:
    document = parse_markdown("---\ntitle: T\n---\n## B\n\nx\n", name="file")
    assert document.blocks[-1].heading_path == ("T", "B")


@pytest.mark.parametrize("text", ["---\n", "---\ntitle: x\n", "---\n---", "---\na: b\n---"])
def test_front_matter_that_is_all_there_is_does_no_harm(text: str) -> None:
    document = parse_markdown(text, name="file")
    assert "".join(piece for *_, piece in outline(document)) != ""


def test_plain_text_has_paragraphs_between_blank_lines() -> None:
    document = parse_plain_text("The Title\n\nOne\ntwo.\n\n\nThree.\n", name="file")
    assert document.title == "The Title"
    assert [text for *_, text in outline(document)] == ["The Title", "One\ntwo.", "Three."]
    assert lines(document) == [(1, 1), (3, 4), (7, 7)]


def test_long_lines_are_paragraphs_each() -> None:
    long = "word " * 60 + "end."
    document = parse_plain_text(f"{long}\n{long}\nshort\n", name="file")
    assert [text for *_, text in outline(document)] == [long, long, "short"]
    assert document.title == "file"


def test_data_keeps_its_lines_together() -> None:
    document = parse_data("a,b\n1,2\n\n3,4\n", name="file")
    assert [(kind, text) for kind, _, text in outline(document)] == [
        ("code", "a,b\n1,2"),
        ("code", "3,4"),
    ]


RST = """=====
Title
=====

Intro :ref:`x`.

The :class:`Foo` class
----------------------
Example::

    code

      more

- item

=====  =====
a      b
=====  =====
1      2
=====  =====

Second
------

.. code-block:: python

   x = 1

Done.
"""


def test_restructured_text_has_sections_by_the_order_of_their_styles() -> None:
    document = parse_restructured_text(RST, name="file")
    foo = "Title > The Foo class"
    assert document.title == "Title"
    assert outline(document) == [
        ("heading", "Title", "=====\nTitle\n====="),
        ("prose", "Title", "Intro :ref:`x`."),
        ("heading", foo, "The :class:`Foo` class\n----------------------"),
        ("prose", foo, "Example::"),
        ("code", foo, "    code\n\n      more"),
        ("prose", foo, "- item"),
        ("table", foo, "=====  =====\na      b\n=====  =====\n1      2\n=====  ====="),
        ("heading", "Title > Second", "Second\n------"),
        ("prose", "Title > Second", ".. code-block:: python"),
        ("code", "Title > Second", "   x = 1"),
        ("prose", "Title > Second", "Done."),
    ]


def test_restructured_text_includes_no_file() -> None:
    document = parse_restructured_text(".. include:: /etc/passwd\n", name="file")
    assert document.text == ".. include:: /etc/passwd\n"


HTML = """<!doctype html><html><head><title>The &amp;
Title</title><style>p {}</style><script>evil("<p>no</p>")</script></head><body>
<nav><a href="/">Home</a></nav><h1>First</h1>
<p>Some <b>bold</b>
  text.<br>Next &lt;line&gt;</p><ul><li>one<li>two</ul>
<pre>x = 1

  y</pre>
<table><tr><th>A<th>B</tr><tr><td>1</td><td><p>2</p><p>3</p></td></tr></table>
<h3>Sub</h3>loose text
</body></html>
"""


def test_html_is_what_a_reader_sees() -> None:
    document = parse_web_page(HTML.encode(), name="file")
    assert document.title == "The & Title"
    assert outline(document) == [
        ("heading", "First", "First"),
        ("prose", "First", "Some bold text.\nNext <line>"),
        ("prose", "First", "- one"),
        ("prose", "First", "- two"),
        ("code", "First", "x = 1\n\n  y"),
        ("table", "First", "A | B\n1 | 2 3"),
        ("heading", "First > Sub", "Sub"),
        ("prose", "First > Sub", "loose text"),
    ]
    assert lines(document)[:2] == [(3, 3), (4, 5)]


def test_the_title_of_html_stands_above_a_page_without_headings() -> None:
    document = parse_web_page(b"<title>T</title><p>x", name="file")
    assert document.blocks[0].heading_path == ("T",)


def test_html_is_read_in_the_encoding_that_it_declares() -> None:
    page = '<meta charset="windows-1251"><p>Привет, мир</p>'
    document = parse_web_page(page.encode("cp1251"), name="file")
    assert outline(document) == [("prose", "", "Привет, мир")]


def test_broken_html_is_read_as_far_as_it_goes() -> None:
    document = parse_web_page(b"<table><tr><td>a<td>b<p>c</div></span><b>", name="file")
    assert [text for *_, text in outline(document)] == ["a | b c"]


def test_a_menu_that_is_never_closed_does_not_hide_the_page() -> None:
    document = parse_web_page(b"<nav><a>Home</a><main><p>Text</p></main>", name="file")
    assert [text for *_, text in outline(document)] == ["Text"]


def test_a_binary_file_named_html_is_refused() -> None:
    with pytest.raises(ParsingError, match="binary"):
        parse_web_page(b"<p>\0", name="file")


PYTHON = '''"""Doc."""
import os

# About f.
@decorated
def f():
    return 1

class A(B):
    """Of A."""

    x = 1

    def g(self): ...

    async def h(self):
        def inner(): ...

print(A)
'''


def test_python_is_cut_at_its_definitions() -> None:
    document = parse_python(PYTHON, name="file")
    assert [(path, text.split("\n")[0].strip()) for _, path, text in outline(document)] == [
        ("", '"""Doc."""'),
        ("f", "# About f."),
        ("A", "class A(B):"),
        ("A > g", "def g(self): ..."),
        ("A > h", "async def h(self):"),
        ("", "print(A)"),
    ]


def test_python_that_does_not_parse_is_cut_like_other_code() -> None:
    document = parse_python("def f(:\n    pass\n\nprint 'x'\n", name="file")
    assert [path for _, path, _ in outline(document)] == ["f", ""]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("func (s *Server) Serve(l net.Listener) error {", "Serve"),
        ("func main() {", "main"),
        ("pub(crate) async fn run<T>(x: T) {", "run"),
        ("impl<T> Display for Foo<T> {", "Display"),
        ("public static final class Foo extends Bar {", "Foo"),
        ("export default async function load() {", "load"),
        ("export const useThing = async (x) => {", "useThing"),
        ("interface Props {", "Props"),
        ("static int parse_line(char *s, int n)", "parse_line"),
        ("CREATE TABLE users (", "users"),
        ("message Request {", "Request"),
        ('resource "aws_instance" "web" {', "aws_instance"),
        ("defmodule My.App do", "My.App"),
        ("x = compute(1)", ""),
        ("return value;", ""),
        ("// func not_code() {", ""),
    ],
)
def test_definitions_are_recognised_in_many_languages(line: str, name: str) -> None:
    document = parse_source_code(f"before\n\n{line}\n    body\n", name="file")
    assert document.blocks[-1].heading_path == ((name,) if name else ())


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("README.MD", "markdown"),
        ("a.tar.py", "python"),
        ("Makefile", "code"),
        ("LICENSE", "text"),
        ("x.unknown", "text"),
        ("page.HTM", "html"),
        ("Slides.PPTM", "pptx"),
        ("table.tsv", "csv"),
        ("events.ndjson", "jsonl"),
        ("study.ipynb", "notebook"),
    ],
)
def test_the_name_tells_the_format(name: str, format_: str) -> None:
    assert format_of(name) == format_
