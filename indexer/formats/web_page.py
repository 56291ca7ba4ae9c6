"""HTML: what a reader sees of a page, with the lines of the file that it comes from."""

import re
from html.parser import HTMLParser

from indexer.documents import Block, BlockKind, ParsedDocument
from indexer.formats.decoding import decode

_UNSEEN = frozenset("script style noscript template svg math iframe object nav select".split())  # noqa: SIM905 - legible
_BREAKS = frozenset(  # where a paragraph ends
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption "  # noqa: SIM905 - legible
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html li main ol p pre section summary table "
    "tbody td tfoot th thead title tr ul caption".split()
)
_CELL_ENDS = ("td", "th", "tr", "caption", "table", "")
_VOID = frozenset("br hr img input meta link area base col embed source track wbr".split())  # noqa: SIM905 - legible
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


def parse_web_page(data: bytes, *, name: str, declared: str | None = None) -> ParsedDocument:
    """Paragraphs, headings, items, code and tables; scripts, styles and navigation left out.

    Args:
        name: the title of a page without one.
        declared: the encoding that whatever brought the page says it is in.

    Raises:
        ParsingError: it is no text.
    """
    if declared is None and (charset := _CHARSET.search(data[:4096])):
        declared = charset[1].decode("ascii", "ignore")
    page = _Page()
    page.feed(decode(data, declared=declared))
    page.close()
    page.flush()
    return page.document(name)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._title = ""
        self._texts: list[str] = []
        self._blocks: list[Block] = []
        self._size = 0  # of all texts and what stands between them
        self._headings: list[tuple[int, str]] = []
        self._parts: list[str] = []  # of the paragraph being read
        self._rows: list[str] = []  # of the outermost table
        self._cells: list[str] = []
        self._first_line = self._last_line = 0
        self._open: dict[str, int] = {}
        self._hidden: list[str] = []  # open elements whose text nobody sees, from the outermost
        self._heading = 0
        self._is_item = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._parts.append("\n")
        if tag in _VOID and tag != "hr":
            return
        if tag in _BREAKS:
            self._break(tag)
        if tag in _UNSEEN:
            self._hidden.append(tag)
        elif tag in ("main", "article", "h1"):
            self._hidden.clear()  # somebody forgot to close what was hidden
        if tag in ("pre", "table", "title"):
            self._open[tag] = self._open.get(tag, 0) + 1
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._heading = int(tag[1])
        elif tag == "li":
            self._is_item = True

    def handle_endtag(self, tag: str) -> None:
        if tag in _BREAKS:
            self._break(tag)
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        if self._open.get(tag):
            self._open[tag] -= 1
        if tag == "table" and not self._open.get(tag):
            self._end_table()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if data.strip():
            line = self.getpos()[0]
            first = line + data[: len(data) - len(data.lstrip())].count("\n")
            self._first_line = self._first_line or first
            self._last_line = line + data.rstrip().count("\n")
        if not self._open.get("pre"):
            data = re.sub(r"[ \t\r\n\f]+", " ", data)
        self._parts.append(data)

    def flush(self) -> None:
        """Ends what is open at the end of the file."""
        self._break("")
        if self._cells or self._rows:
            self._end_table()

    def document(self, name: str) -> ParsedDocument:
        """What was read. The title stands above everything where no heading of its rank does."""
        blocks = self._blocks
        top = next((block.heading_path[0] for block in blocks if block.heading_path), "")
        if self._title and not top:
            blocks = [block._replace(heading_path=(self._title,)) for block in blocks]
        return ParsedDocument(self._title or top or name, "".join(self._texts), blocks, "html")

    def _break(self, tag: str) -> None:
        """Ends the paragraph, cell or row that has been read so far."""
        if self._open.get("table") and tag not in _CELL_ENDS:
            self._parts.append(" ")  # a paragraph within a cell
            return
        text = "".join(self._parts)
        in_code = bool(self._open.get("pre"))
        text = text.strip("\n").rstrip() if in_code else _tidy(text)
        self._parts.clear()
        if self._open.get("title"):
            self._title = self._title or " ".join(text.split())
            self._first_line = 0
        elif self._open.get("table"):
            self._cells += [" ".join(text.split())] if text.strip() else []
            if tag == "tr" and self._cells:
                self._rows.append(" | ".join(self._cells))
                self._cells = []
        elif text.strip():
            self._add(text, "code" if in_code else "prose")

    def _end_table(self) -> None:
        rows = [*self._rows, " | ".join(self._cells)] if self._cells else self._rows
        if rows:
            self._add("\n".join(rows), "table")
        self._rows, self._cells = [], []

    def _add(self, text: str, kind: BlockKind) -> None:
        if self._heading and kind == "prose":
            kind = "heading"
            self._headings = [one for one in self._headings if one[0] < self._heading]
            self._headings.append((self._heading, " ".join(text.split())))
        elif self._is_item and kind == "prose":
            text = f"- {text}"
        separator = "\n" if text.startswith("- ") and self._was_item() else "\n\n"
        self._texts += [separator, text] if self._texts else [text]
        self._size += (len(separator) if self._blocks else 0) + len(text)
        path = tuple(heading for _, heading in self._headings)
        lines = (self._first_line or None, self._last_line or None)
        self._blocks.append(Block(self._size - len(text), self._size, kind, path, None, *lines))
        self._first_line = self._heading = 0
        self._is_item = False

    def _was_item(self) -> bool:
        return bool(self._texts) and self._texts[-1].startswith("- ")


def _tidy(text: str) -> str:
    """Without the space at the ends of lines that collapsing it leaves."""
    return "\n".join(line.strip() for line in text.split("\n")).strip()
