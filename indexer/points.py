"""Chunks to points: their ids, their payload and the words that keyword search sees.

The payload's ``metadata``, which searches are filtered by and citations are made of:

    tenant                    whose it is; every search names one
    source, root, path        where the file is: ``{root's name}/{path}``, ``root`` absolute
    folders                   every folder around the source: a path prefix is one of these words
    type                      the format, such as ``markdown``, ``pdf``, ``docx``
    modified_at               the file's time, in seconds since 1970
    title, heading            of the document; the headings above the chunk
    page, start_line, end_line, position    where in the document; ``position`` counts chunks
    tokens, content_hash      of the text that was embedded
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from backends.vector_collection import MODIFIED_AT
from indexer.chunking import Chunk
from indexer.records import FileRecord, PointRecord
from indexer.tenants import DEFAULT

_NAMESPACE = UUID("6f1c8f1e-2b0a-5d0e-9a55-7d1f0c7a4b11")
_WORD = re.compile(r"[^\W\d_]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+")


class Draft(NamedTuple):
    """A point that still lacks its vectors."""

    point: PointRecord
    text: str
    """Exactly as it stands in the document."""
    embedded_text: str
    keywords: str
    metadata: dict[str, Any]


def draft(file: FileRecord, chunks: Sequence[Chunk], *, tenant: str = DEFAULT) -> list[Draft]:
    """A file's points, in order. The id of each depends on where it is and on all that it says.

    So a point never changes: what another version of the file says elsewhere, on other lines say,
    is another point, and both can be in the store while a search sees one of them. Only the time
    of the file's last change is no part of that, because an edit gives it to every point.
    """
    place = {
        "source": file.source,
        "root": file.root,
        "path": file.path,
        "folders": folders(file.source),
        "tenant": tenant,
    }
    drafts = []
    for position, chunk in enumerate(chunks):
        content_hash = _digest(chunk.embedded_text)
        metadata = {**place, **_metadata(chunk, position, content_hash)}
        keywords = keyword_text(file.path, chunk)
        payload_hash = _digest(json.dumps([chunk.text, keywords, metadata], sort_keys=True))
        name = "\0".join((file.root, file.path, str(position), content_hash, payload_hash))
        point = PointRecord(str(uuid5(_NAMESPACE, name)), content_hash, chunk.tokens, payload_hash)
        metadata[MODIFIED_AT] = modified_at(file)
        drafts.append(Draft(point, chunk.text, chunk.embedded_text, keywords, metadata))
    return drafts


def modified_at(file: FileRecord) -> float:
    """When a file was changed last, in seconds since 1970, as its points say it.

    To the microsecond: the engine reads decimals of more digits back as a neighbouring number.
    """
    return file.mtime_ns // 1000 / 10**6


def keyword_text(path: str, chunk: Chunk) -> str:
    """What BM25 sees: what is embedded, the words of the file's name, and a title that is no
    heading. A heading counts once: repeated, it outweighed the text."""
    title = "" if chunk.heading.startswith(chunk.title) else chunk.title
    parts = (" ".join(words(PurePosixPath(path).stem)), title, chunk.embedded_text)
    return "\n".join(part for part in parts if part)


def words(name: str) -> list[str]:
    """``readHTTPHeader_v2`` as ``read HTTP Header v 2``."""
    return _WORD.findall(name)


def folders(source: str) -> list[str]:
    """``a/b/c.md`` as ``a``, ``a/b``: what a search in a folder matches, subfolders included."""
    return [source[:end] for end, letter in enumerate(source) if letter == "/"]


def _metadata(chunk: Chunk, position: int, content_hash: str) -> dict[str, Any]:
    return {
        "title": chunk.title,
        "type": chunk.format,
        "heading": chunk.heading,
        "page": chunk.page,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "tokens": chunk.tokens,
        "content_hash": content_hash,
        "position": position,
    }


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
