"""PDF files written by hand, so that every page and fault in them is known."""


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """A file with a page for each text; an empty text makes a page with a drawing only. Lines that
    begin with ``# `` are set in large letters."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        content = _content(text)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    if encrypted:
        # Keys that no password fits.
        objects.append(
            b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <%s> /U <%s> >>"
            % (b"ab" * 32, b"cd" * 32)
        )
    return _file(objects, encrypted=encrypted)


def _content(text: str) -> bytes:
    if not text:
        return b"0 0 m 100 100 l S"
    lines = text.split("\n")
    shown = " ".join(_large(line[2:]) if line[:2] == "# " else f"({line}) Tj T*" for line in lines)
    return f"BT /F1 12 Tf 14 TL 72 770 Td {shown} ET".encode()


def _large(line: str) -> str:
    return f"/F1 24 Tf ({line}) Tj 0 -40 Td /F1 12 Tf"


def _file(objects: list[bytes], *, encrypted: bool) -> bytes:
    body = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    trailer = b"<< /Size %d /Root 1 0 R" % count
    if encrypted:
        trailer += b" /Encrypt %d 0 R /ID [<00> <00>]" % len(objects)
    return body + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n%s >>\nstartxref\n%d\n%%%%EOF\n"
        % (count, table, trailer, len(body))
    )
