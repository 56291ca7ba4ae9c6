"""A document put together from pieces, for formats whose files hold no text to quote by lines."""

from indexer.documents import Block, BlockKind, Format, ParsedDocument

_BULLET = "- "


class Assembly:
    """Text and blocks as they grow; headings stay open until one of their rank follows."""

    def __init__(self) -> None:
        self.page: int | None = None
        self._texts: list[str] = []
        self._size = 0
        self._blocks: list[Block] = []
        self._headings: list[tuple[int, str]] = []

    @property
    def path(self) -> tuple[str, ...]:
        """The open headings, from the outermost."""
        return tuple(text for _, text in self._headings)

    @property
    def top(self) -> str:
        """The first heading, if the document begins with one."""
        path = self._blocks[0].heading_path if self._blocks else ()
        return path[0] if path else ""

    def add_heading(self, level: int, text: str) -> None:
        """Opens a heading, 1 being the highest rank, and ends those of its rank and below."""
        self.close_headings(level)
        text = " ".join(text.split())
        if text:
            self._headings.append((level, text))
            self._append(text, "heading", self.path)

    def close_headings(self, level: int = 0) -> None:
        """Ends the headings of a rank and those below it."""
        self._headings = [one for one in self._headings if one[0] < level]

    def add(self, text: str, kind: BlockKind = "prose") -> None:
        """A paragraph, table or piece of code below the open headings; blank ones are dropped."""
        self._append(text, kind, self.path)

    def add_item(self, text: str) -> None:
        """A list's item."""
        if text.strip():
            self._append(_BULLET + text.strip(), "prose", self.path)

    def add_rows(self, rows: list[list[str]]) -> None:
        """A table; the first row is its header."""
        lines = [" | ".join(" ".join(cell.split()) for cell in row).rstrip(" |") for row in rows]
        self._append("\n".join(line for line in lines if line), "table", self.path)

    def include(self, document: ParsedDocument) -> None:
        """Another document's blocks, below the open headings."""
        for block in document.blocks:
            text = document.text[block.start : block.end]
            self._append(text, block.kind, (*self.path, *block.heading_path))

    def document(self, title: str, format_: Format) -> ParsedDocument:
        """What was put together; it has no lines, because the file has none."""
        return ParsedDocument(title, "".join(self._texts), self._blocks, format_)

    def _append(self, text: str, kind: BlockKind, path: tuple[str, ...]) -> None:
        text = text.strip("\n").rstrip() if kind == "code" else text.strip()
        if not text:
            return
        if self._texts:
            both_items = text.startswith(_BULLET) and self._texts[-1].startswith(_BULLET)
            self._put("\n" if both_items else "\n\n")
        self._put(text)
        self._blocks.append(Block(self._size - len(text), self._size, kind, path, self.page))

    def _put(self, text: str) -> None:
        self._texts.append(text)
        self._size += len(text)
