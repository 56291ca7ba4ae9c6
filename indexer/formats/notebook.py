"""Jupyter notebooks: the text between the cells, the code, and the beginning of what it printed.

Source: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.assembly import Assembly
from indexer.formats.markdown import read_markdown

_MAX_OUTPUT = 1_000
"""Characters of a cell's output: what matters of a longer one stands at its beginning."""
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IMAGE_DATA = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=]+")


def parse_notebook(text: str, *, name: str) -> ParsedDocument:
    """Cells in order: Markdown below its headings, code, output as text; no images.

    Args:
        name: the title of a notebook without a heading of the first rank.

    Raises:
        ParsingError: it is no notebook.
    """
    assembly = Assembly()
    title = ""
    for cell in _cells(text):
        source = _joined(cell.get("source", cell.get("input")))
        if cell.get("cell_type") == "markdown":
            heading = _add_markdown(source, assembly)
            title = title or heading
        elif cell.get("cell_type") == "heading":  # of notebooks before version 4
            level = cell.get("level")
            assembly.add_heading(level if isinstance(level, int) else 1, source)
        elif cell.get("cell_type") == "raw":
            assembly.add(source)
        else:
            assembly.add(source, "code")
            for output in _dicts(cell.get("outputs")):
                assembly.add(_output(output), "code")
    return assembly.document(title or name, "notebook")


def _cells(text: str) -> Iterator[dict[str, Any]]:
    try:
        notebook = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ParsingError(f"it is no notebook: it is no JSON: {exc}") from exc
    if not isinstance(notebook, dict) or not {"cells", "worksheets"} & notebook.keys():
        raise ParsingError("it is no notebook: it has no cells")
    yield from _dicts(notebook.get("cells"))
    for sheet in _dicts(notebook.get("worksheets")):  # before version 4
        yield from _dicts(sheet.get("cells"))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _joined(value: Any) -> str:
    """A text, which a notebook may keep as a list of its lines."""
    lines = value if isinstance(value, list) else [value]
    text = "".join(line for line in lines if isinstance(line, str))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _add_markdown(source: str, assembly: Assembly) -> str:
    """Adds a cell, and returns its first heading of the first rank."""
    title = ""
    for piece, text in read_markdown(_IMAGE_DATA.sub("data:", source)):
        if piece.level:
            assembly.add_heading(piece.level, piece.heading)
            title = title or (piece.heading if piece.level == 1 else "")
        else:
            assembly.add(text, piece.kind)
    return title


def _output(output: dict[str, Any]) -> str:
    """What was printed, computed or raised; empty for an image."""
    data = output.get("data", output)
    if not isinstance(data, dict) or any(key.startswith(("image/", "png")) for key in data):
        return ""
    if output.get("output_type") in ("error", "pyerr"):
        text = f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    else:
        text = _joined(data.get("text/plain", output.get("text")))
    text = _ESCAPES.sub("", text[: 2 * _MAX_OUTPUT]).strip("\n")
    return text if len(text) <= _MAX_OUTPUT else f"{text[:_MAX_OUTPUT].rstrip()} ..."
