"""PDF and office documents, read by kreuzberg. Only to be imported in the parser's process."""

import re
from pathlib import Path

from kreuzberg import (
    ExtractionConfig,
    ExtractionResult,
    KreuzbergError,
    PageConfig,
    extract_file_sync,
)

from errors import ParsingError
from indexer.documents import Block, ParsedDocument
from indexer.formats.markdown import parse_markdown


def parse_pdf(path: Path) -> ParsedDocument:
    """Paragraphs with the pages they stand on.

    Raises:
        ParsingError: it is damaged, encrypted, or holds no text.
    """
    result = _extract(path, ExtractionConfig(use_cache=False, pages=PageConfig(extract_pages=True)))
    pages = [(page["page_number"], page["content"]) for page in result.pages or []]
    if not any(content.strip() for _, content in pages):
        pages = [(1, result.content)]
    texts: list[str] = []
    size = 0
    blocks: list[Block] = []
    for number, content in pages:
        for paragraph in re.split(r"\n\s*\n", content.replace("\r\n", "\n")):
            if stripped := paragraph.strip():
                blocks.append(Block(size, size + len(stripped), "prose", (), number))
                texts.append(stripped)
                size += len(stripped) + 2
    if not blocks:
        raise ParsingError("no text was found in it: are its pages scanned images?")
    return ParsedDocument(_title(result) or path.stem, "\n\n".join(texts), blocks, "pdf")


def parse_office(path: Path) -> ParsedDocument:
    """A document, sheet, presentation, book or mail by way of Markdown, without lines.

    Raises:
        ParsingError: it is damaged, encrypted, or holds no text.
    """
    result = _extract(path, ExtractionConfig(use_cache=False, output_format="markdown"))
    document = parse_markdown(result.content, name=_title(result) or path.stem)
    if not document.blocks:
        raise ParsingError("no text was found in it")
    blocks = [block._replace(start_line=None, end_line=None) for block in document.blocks]
    return document._replace(blocks=blocks, format=path.suffix[1:].lower())


def _extract(path: Path, config: ExtractionConfig) -> ExtractionResult:
    try:
        return extract_file_sync(str(path), config=config)
    except KreuzbergError as exc:
        reason = " ".join(str(exc).split())[:300]
        if re.search(r"password|encrypt", reason, re.IGNORECASE):
            raise ParsingError("it is protected by a password: save it without one") from exc
        # The library repeats what kind of error it is at every level.
        reason = reason.rpartition(": ")[2]
        raise ParsingError(f"it is damaged, or no {path.suffix} file: {reason}") from exc


def _title(result: ExtractionResult) -> str:
    title = result.metadata.get("title")
    return " ".join(title.split()) if isinstance(title, str) else ""
