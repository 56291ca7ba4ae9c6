"""Source code: top-level definitions, told by indentation; Python's by its own grammar."""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from indexer.documents import ParsedDocument, TextLines

_DEFINITION = re.compile(
    r"(?:[\w@]+\s+|\w+\([^()]*\)\s+){0,6}?"  # public static final, export default, pub(crate)
    r"(?:func|function|fn|def|class|struct|interface|impl|trait|enum|type|module|namespace|union|"
    r"object|record|message|service|protocol|extension|defmodule|defp?|sub|contract|resource|"
    r"(?:CREATE|create)\s+(?:OR REPLACE\s+|or replace\s+)?\w+)\b\s*"
    r"(?:<[^<>]*>\s*|\([^()]*\)\s*)?\"?([A-Za-z_$][\w$.:-]*)"
)
_FUNCTION = re.compile(r"(?:[\w:<>*&,\[\]~]+\s+){1,6}?\*?([A-Za-z_~][\w:~]*)\s*\([^;]*$")
_ASSIGNED = re.compile(
    r"(?:export\s+)?(?:const|let|var)\s+(\w+)\s*=\s*(?:async\s*)?(?:function\b|\(|\w+\s*=>)"
)
_COMMENT = re.compile(r"\s*(?://|#(?!include|define|if|endif)|/?\*|--|;;|<!--|@)")
_CLOSING = re.compile(r"[\])}]|end\b|fi\b|esac\b|done\b|else\b|elif\b|catch\b|finally\b")
_MAX_LINE = 500
"""A longer line is generated: no definition is looked for in it."""


class _Section(NamedTuple):
    """Lines that belong together; numbered from 0, the end exclusive."""

    first: int
    end: int
    path: tuple[str, ...] = ()


def parse_source_code(text: str, *, name: str) -> ParsedDocument:
    """A block for each top-level definition, under its name, and for each paragraph between."""
    lines = TextLines(text)
    return _document(lines, _sections(lines), name)


def parse_python(text: str, *, name: str) -> ParsedDocument:
    """A block for each function and method, under the names of its class and its own."""
    lines = TextLines(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the code's author's concern, not the reader's
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _document(lines, _sections(lines), name)
    sections = _python_sections(lines, tree.body, 0, len(lines), ())
    return _document(lines, sections, name)


def _document(lines: TextLines, sections: Iterator[_Section], name: str) -> ParsedDocument:
    blocks = (lines.block(first, end, "code", path) for first, end, path in sections)
    return ParsedDocument(name, lines.text, [block for block in blocks if block], "code")


def _sections(lines: TextLines) -> Iterator[_Section]:
    first = 0
    path: tuple[str, ...] = ()
    after_blank = False
    for number, line in enumerate(lines):
        if not line or line.isspace():
            after_blank = True
            continue
        if after_blank and not line[0].isspace() and not _CLOSING.match(line):
            yield _Section(first, number, path)
            first, path = number, ()
        after_blank = False
        if not path and not line[0].isspace() and (found := _defined(line)):
            path = (found,)
    yield _Section(first, len(lines), path)


def _defined(line: str) -> str:
    """The name that an unindented line defines, if it does."""
    if len(line) > _MAX_LINE or _COMMENT.match(line):
        return ""
    match = _DEFINITION.match(line) or _ASSIGNED.match(line) or _FUNCTION.match(line)
    return match[1] if match else ""


def _python_sections(
    lines: TextLines, body: list[ast.stmt], first: int, end: int, path: tuple[str, ...]
) -> Iterator[_Section]:
    """The definitions of a body and what stands between them, within the lines given."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while start > first and _COMMENT.match(lines[start - 1]):
            start -= 1
        stop = node.end_lineno or node.lineno
        if start < first:  # on one line with what stands before
            continue
        yield _Section(first, start, path)
        inner = (*path, node.name)
        if isinstance(node, ast.ClassDef):
            yield from _python_sections(lines, node.body, start, stop, inner)
        else:
            yield _Section(start, stop, inner)
        first = stop
    yield _Section(first, end, path)
