"""Office files and e-books written by hand, so that every part and fault in them is known."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_R = f'xmlns:r="{_OFFICE}/relationships"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_VENDOR = "application/vnd.openxmlformats-officedocument"
Content = str | bytes | Iterable[str]
"""Of a part of an archive; pieces are written one by one, so that it may be large."""


def archive(parts: Mapping[str, Content]) -> bytes:
    """A zip file with these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            with file.open(name, "w", force_zip64=True) as part:
                for piece in [content] if isinstance(content, str | bytes) else content:
                    part.write(piece if isinstance(piece, bytes) else piece.encode())
    return buffer.getvalue()


_NOTHING: Mapping[str, Content] = {}


def docx(
    body: str,
    *,
    title: str = "",
    doctype: str = "",
    encoding: str = "utf-8",
    styles: str = "",
    extra: Mapping[str, Content] = _NOTHING,
) -> bytes:
    """A Word document of what ``heading``, ``paragraph`` and ``table`` make."""
    levels = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}"><w:name w:val="heading {n}"/>'
        f'<w:pPr><w:outlineLvl w:val="{n - 1}"/></w:pPr></w:style>'
        for n in range(1, 4)
    )
    main = f"{_VENDOR}.wordprocessingml.document.main+xml"
    return archive(
        {
            "[Content_Types].xml": _types({"/word/document.xml": main}),
            "_rels/.rels": _package_relations("word/document.xml"),
            "docProps/core.xml": _core(title),
            "word/document.xml": _xml(
                f"<w:document {_W}><w:body>{body}</w:body></w:document>", doctype
            ).encode(encoding),
            "word/_rels/document.xml.rels": _relations([("styles", "styles.xml")]),
            "word/styles.xml": styles or _xml(f"<w:styles {_W}>{levels}</w:styles>"),
            **extra,
        }
    )


def heading(level: int, text: str) -> str:
    return _paragraph(f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>', escape(text))


def paragraph(text: str) -> str:
    return _paragraph("", escape(text))


def entity_paragraph(entity: str) -> str:
    return _paragraph("", f"&{entity};")


def _paragraph(properties: str, text: str) -> str:
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def table(*rows: Sequence[str]) -> str:
    return (
        "<w:tbl>"
        + "".join(
            "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
            for row in rows
        )
        + "</w:tbl>"
    )


class Slide:
    """A slide's title, its points, a table's rows and its notes."""

    def __init__(
        self,
        title: str,
        *points: str,
        rows: Sequence[Sequence[str]] = (),
        notes: str = "",
    ) -> None:
        self.title, self.points, self.rows, self.notes = title, points, rows, notes


def pptx(*slides: Slide, title: str = "") -> bytes:
    """A presentation. Its slides' parts are numbered backwards: the order is in the relations."""
    count = len(slides)
    kind = f"{_VENDOR}.presentationml"
    types = {"/ppt/presentation.xml": f"{kind}.presentation.main+xml"}
    parts: dict[str, Content] = {}
    for number, slide in enumerate(slides, start=1):
        name = f"slide{count + 1 - number}.xml"
        types[f"/ppt/slides/{name}"] = f"{kind}.slide+xml"
        parts[f"ppt/slides/{name}"] = _slide(slide)
        if slide.notes:
            notes = f"notesSlide{number}.xml"
            types[f"/ppt/notesSlides/{notes}"] = f"{kind}.notesSlide+xml"
            parts[f"ppt/notesSlides/{notes}"] = _notes(slide.notes)
            parts[f"ppt/slides/_rels/{name}.rels"] = _relations(
                [("notesSlide", f"../notesSlides/{notes}")]
            )
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in range(1, count + 1))
    return archive(
        {
            "[Content_Types].xml": _types(types),
            "_rels/.rels": _package_relations("ppt/presentation.xml"),
            "docProps/core.xml": _core(title),
            "ppt/presentation.xml": _xml(
                f"<p:presentation {_P} {_R}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
            ),
            "ppt/_rels/presentation.xml.rels": _relations(
                [("slide", f"slides/slide{count + 1 - n}.xml") for n in range(1, count + 1)]
            ),
            **parts,
        }
    )


def _slide(slide: Slide) -> str:
    shapes = _shape(1, slide.title, '<p:ph type="title"/>') if slide.title else ""
    if slide.points:
        shapes += _shape(2, "\n".join(slide.points), '<p:ph idx="1"/>')
    if slide.rows:
        cells = "".join(
            "<a:tr>"
            + "".join(f"<a:tc><a:txBody>{_drawn(cell)}</a:txBody></a:tc>" for cell in row)
            + "</a:tr>"
            for row in slide.rows
        )
        shapes += (
            '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="3" name="t"/><p:cNvGraphicFramePr/>'
            "<p:nvPr/></p:nvGraphicFramePr><a:graphic><a:graphicData "
            'uri="http://schemas.openxmlformats.org/drawingml/2006/table">'
            f"<a:tbl>{cells}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"
        )
    return _xml(
        f"<p:sld {_A} {_P} {_R}><p:cSld><p:spTree>{_TREE}{shapes}</p:spTree></p:cSld></p:sld>"
    )


_TREE = '<p:nvGrpSpPr><p:cNvPr id="0" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'


def _notes(text: str) -> str:
    shape = _shape(1, text, '<p:ph type="body" idx="1"/>')
    return _xml(
        f"<p:notes {_A} {_P} {_R}><p:cSld><p:spTree>{_TREE}{shape}</p:spTree></p:cSld></p:notes>"
    )


def _shape(number: int, text: str, placeholder: str) -> str:
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="s{number}"/><p:cNvSpPr/>'
        f"<p:nvPr>{placeholder}</p:nvPr></p:nvSpPr><p:spPr/>"
        f"<p:txBody><a:bodyPr/>{_drawn(text)}</p:txBody></p:sp>"
    )


def _drawn(text: str) -> str:
    return "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in text.split("\n"))


Cell = str | int | float | bool | None


def xlsx(sheets: Mapping[str, Iterable[Sequence[Cell]]], *, doctype: str = "") -> bytes:
    """A workbook; texts stand in the cells themselves, so that rows may be written one by one."""
    kind = f"{_VENDOR}.spreadsheetml"
    types = {"/xl/workbook.xml": f"{kind}.sheet.main+xml"}
    parts: dict[str, Content] = {}
    for number, rows in enumerate(sheets.values(), start=1):
        types[f"/xl/worksheets/sheet{number}.xml"] = f"{kind}.worksheet+xml"
        parts[f"xl/worksheets/sheet{number}.xml"] = _sheet(rows, doctype)
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>'
        for n, name in enumerate(sheets, start=1)
    )
    return archive(
        {
            "[Content_Types].xml": _types(types),
            "_rels/.rels": _package_relations("xl/workbook.xml"),
            "docProps/core.xml": _core(""),
            "xl/workbook.xml": _xml(
                f"<workbook {_S} {_R}><sheets>{listed}</sheets></workbook>", doctype
            ),
            "xl/_rels/workbook.xml.rels": _relations(
                [("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)]
            ),
            **parts,
        }
    )


def _sheet(rows: Iterable[Sequence[Cell]], doctype: str) -> Iterable[str]:
    yield _xml(f"<worksheet {_S}><sheetData>", doctype)
    for number, row in enumerate(rows, start=1):
        yield f'<row r="{number}">'
        for column, value in enumerate(row):
            yield _cell(f"{chr(65 + column)}{number}", value)
        yield "</row>"
    yield "</sheetData></worksheet>"


def _cell(place: str, value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        shown = value if value.startswith("&") else escape(value)
        return f'<c r="{place}" t="inlineStr"><is><t>{shown}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def epub(
    chapters: Mapping[str, str], *, title: str = "", extra: Mapping[str, Content] = _NOTHING
) -> bytes:
    """A book of these files, in this order: their names, and the HTML of their bodies."""
    items = "".join(
        f'<item id="c{n}" href="{escape(name)}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">x</dc:identifier><dc:title>{escape(title)}</dc:title>'
        f"<dc:language>en</dc:language></metadata><manifest>{items}</manifest>"
        f"<spine>{spine}</spine></package>"
    )
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/content.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    pages = {
        f"OEBPS/{name}": _xml(
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Page</title></head>'
            f"<body>{body}</body></html>"
        )
        for name, body in chapters.items()
    }
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _xml(container),
            "OEBPS/content.opf": _xml(package),
            **pages,
            **extra,
        }
    )


def _types(overrides: Mapping[str, str]) -> str:
    listed = "".join(
        f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in overrides.items()
    )
    return _xml(
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{listed}</Types>'
    )


def _package_relations(main: str) -> str:
    return _xml(
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{_OFFICE}/relationships/officeDocument" Target="{main}"/>'
        f'<Relationship Id="r2" Type="{_PACKAGE}/relationships/metadata/core-properties" '
        'Target="docProps/core.xml"/></Relationships>'
    )


def _relations(targets: Iterable[tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/relationships/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(targets, start=1)
    )
    return _xml(f'<Relationships xmlns="{_PACKAGE}/relationships">{listed}</Relationships>')


def _core(title: str) -> str:
    return _xml(
        f'<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title>'
        "</cp:coreProperties>"
    )


def _xml(content: str, doctype: str = "") -> str:
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{doctype}{content}'
