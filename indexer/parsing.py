"""Files as documents: what kind a file is, and the parser that reads it.

Text is read in this process. Everything else, where a damaged or hostile file can take all memory
or for ever, is read in another one that has limits.
"""

from pathlib import Path

from errors import ParsingError
from indexer.documents import Block, ParsedDocument
from indexer.formats.decoding import decode
from indexer.formats.markdown import parse_markdown
from indexer.formats.plain_text import parse_data, parse_plain_text
from indexer.formats.source_code import parse_source_code
from indexer.parser_process import ParserProcess
from indexer.suffixes import format_of

__all__ = ["Block", "ParsedDocument", "parse"]

_IN_PROCESS = {
    "markdown": parse_markdown,
    "code": parse_source_code,
    "data": parse_data,
    "text": parse_plain_text,
}


def parse(path: Path, *, process: ParserProcess | None = None) -> ParsedDocument:
    """The document in a file; one without blocks where the file is empty. Blocking.

    Args:
        path: a regular file.
        process: reads what is not text; without one, such a file gets a process of its own,
            which takes about a third of a second to start.

    Raises:
        ParsingError: the file cannot be turned into text; the message says why.
        OSError: the file cannot be read.
    """
    format_ = format_of(path.name)
    with path.open("rb") as file:
        start = file.read(1024)
        if start.lstrip()[:5] == b"%PDF-":
            format_ = "pdf"
        elif format_ == "pdf" and start.strip():
            raise ParsingError("it is not a PDF file, although its name says so")
        if not start:
            return ParsedDocument(path.stem, "", [], format_)
        if format_ in _IN_PROCESS:
            return _IN_PROCESS[format_](decode(start + file.read()), name=path.stem)
    if process is not None:
        return process.parse(path, format_)
    with ParserProcess() as own:
        return own.parse(path, format_)
