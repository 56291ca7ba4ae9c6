"""Chunks to points: their ids, their payload and the words that keyword search sees."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from indexer.chunking import Chunk
from indexer.records import FileRecord, PointRecord

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


def draft(file: FileRecord, chunks: Sequence[Chunk]) -> list[Draft]:
    """A file's points, in order. The id of each depends on where it is and on all that it says.

    So a point never changes: what another version of the file says elsewhere, on other lines say,
    is another point, and both can be in the store while a search sees one of them.
    """
    drafts = []
    for position, chunk in enumerate(chunks):
        content_hash = _digest(chunk.embedded_text)
        metadata = _metadata(file, chunk, position, content_hash)
        keywords = keyword_text(file.path, chunk)
        payload_hash = _digest(json.dumps([chunk.text, keywords, metadata], sort_keys=True))
        name = "\0".join((file.root, file.path, str(position), content_hash, payload_hash))
        point = PointRecord(str(uuid5(_NAMESPACE, name)), content_hash, chunk.tokens, payload_hash)
        drafts.append(Draft(point, chunk.text, chunk.embedded_text, keywords, metadata))
    return drafts


def keyword_text(path: str, chunk: Chunk) -> str:
    """What BM25 sees: the words of the file's name and the headings besides the text."""
    parts = (" ".join(words(PurePosixPath(path).stem)), chunk.title, chunk.heading, chunk.text)
    return "\n".join(part for part in parts if part)


def words(name: str) -> list[str]:
    """``readHTTPHeader_v2`` as ``read HTTP Header v 2``."""
    return _WORD.findall(name)


def _metadata(file: FileRecord, chunk: Chunk, position: int, content_hash: str) -> dict[str, Any]:
    return {
        "source": file.source,
        "root": file.root,
        "path": file.path,
        "title": chunk.title,
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
