"""A parsed document in a form that tests compare at a glance."""

from indexer.documents import ParsedDocument


def outline(document: ParsedDocument) -> list[tuple[str, str, str]]:
    """Kind, headings and text of each block."""
    return [
        (block.kind, " > ".join(block.heading_path), document.text[block.start : block.end])
        for block in document.blocks
    ]


def lines(document: ParsedDocument) -> list[tuple[int | None, int | None]]:
    """The first and last line of each block."""
    return [(block.start_line, block.end_line) for block in document.blocks]


def pages(document: ParsedDocument) -> list[int | None]:
    """The page of each block."""
    return [block.page for block in document.blocks]
