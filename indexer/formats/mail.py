"""E-mail: who wrote to whom and when, what they wrote, and the names of what they attached.

Source: RFC 5322, RFC 2045 to 2047.
"""

from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import NamedTuple

from errors import ParsingError
from indexer.documents import ParsedDocument
from indexer.formats.assembly import Assembly
from indexer.formats.decoding import decode
from indexer.formats.plain_text import parse_plain_text
from indexer.formats.web_page import parse_web_page

_SHOWN = ("From", "To", "Cc", "Date")
_MARKS = ("From", "To", "Subject", "Date", "Received", "Message-ID", "MIME-Version")
"""A file with none of these is no message."""
_MAX_HEADER = 2_000
"""Characters that are shown of a line of the head: lists of recipients may be endless."""


class _Body(NamedTuple):
    document: ParsedDocument
    is_plain: bool


def parse_mail(path: Path) -> ParsedDocument:
    """A message under its subject; of a text that comes as text and as HTML, the text.

    Raises:
        ParsingError: it is no message.
    """
    message = message_from_bytes(path.read_bytes())
    if not any(mark in message for mark in _MARKS):
        raise ParsingError("it is no e-mail message: it has no head")
    assembly = Assembly()
    title = _add_message(message, assembly)
    return assembly.document(title or path.stem, "eml")


def _add_message(message: Message, assembly: Assembly, level: int = 1) -> str:
    subject = _header(message, "Subject")
    assembly.add_heading(level, subject)
    head = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    assembly.add("\n".join(head))
    for body in _bodies(message):
        assembly.include(body.document)
    attached = [name for part in _leaves(message) if (name := _file_name(part))]
    if attached:
        assembly.add(f"Attachments: {', '.join(attached)}")
    for forwarded in _forwarded(message):
        _add_message(forwarded, assembly, level + 1)
        assembly.close_headings(level + 1)
    return subject


def _header(message: Message, name: str) -> str:
    """A line of the head as it is meant to be read; as it stands where it is malformed."""
    value = message.get(name, "")
    try:
        value = str(make_header(decode_header(value)))
    except (LookupError, ValueError):  # an unknown encoding, or bytes that are not in it
        value = str(value)
    return " ".join(value.split())[:_MAX_HEADER]


def _file_name(part: Message) -> str:
    """The name of what is attached; a message that is attached is named by its subject."""
    name = part.get_filename() or ""
    with suppress(LookupError, ValueError):
        name = str(make_header(decode_header(name)))
    return " ".join(name.split())[:_MAX_HEADER]


def _inner(part: Message) -> list[Message]:
    """The parts of a part; none of a forwarded message, which is one of its own."""
    payload = part.get_payload()
    if isinstance(payload, list) and part.get_content_maintype() == "multipart":
        return [inner for inner in payload if isinstance(inner, Message)]
    return []


def _leaves(message: Message) -> Iterator[Message]:
    pending = [message]
    while pending:
        part = pending.pop()
        inner = _inner(part)
        pending += reversed(inner)
        if not inner:
            yield part


def _forwarded(message: Message) -> Iterator[Message]:
    for part in _leaves(message):
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list):
            yield from (inner for inner in payload if isinstance(inner, Message))


def _bodies(part: Message) -> list[_Body]:
    """What is to be read of a part: of alternatives, the plain text or else the last."""
    found = [_bodies(inner) for inner in _inner(part)]
    if part.get_content_type() == "multipart/alternative":
        readable = [bodies for bodies in found if bodies]
        plain = [bodies for bodies in readable if all(body.is_plain for body in bodies)]
        return (plain or readable[-1:] or [[]])[0]
    if found:
        return [body for bodies in found for body in bodies]
    return _text(part)


def _text(part: Message) -> list[_Body]:
    kind = part.get_content_type()
    if _file_name(part) or kind not in ("text/plain", "text/html"):
        return []
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return []
    charset = part.get_content_charset()
    if kind == "text/html":
        document = parse_web_page(content, name="", declared=charset)
    else:
        document = parse_plain_text(decode(content, declared=charset), name="")
        blocks = [block._replace(heading_path=()) for block in document.blocks]
        document = document._replace(blocks=blocks)
    return [_Body(document, kind == "text/plain")] if document.blocks else []
