"""The corpora that benchmarks index: parts of real folders, and made ones of any size."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from backends.embeddings import EmbeddingModel
from errors import ParsingError
from indexer.chunking import chunk
from indexer.parsing import parse
from indexer.sources import SourceFile, discover

MAX_BYTES = 50_000_000
_FILES_A_FOLDER = 100
_AN_HOUR_S = 3600


def files_in(data: Path) -> list[SourceFile]:
    """The files that indexing would look at, in the order of discovery."""
    return [file for file in discover(data, max_bytes=MAX_BYTES) if isinstance(file, SourceFile)]


def copy_files(data: Path, folder: Path, count: int) -> None:
    """The first files, with their places kept."""
    for file in files_in(data)[:count]:
        place = folder / file.path.relative_to(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, place)


def distinct_chunks(folder: Path, embeddings: EmbeddingModel) -> list[str]:
    """What indexing this folder embeds, in the order of discovery."""
    texts: dict[str, None] = {}
    for file in files_in(folder):
        try:
            document = parse(file.path)
        except ParsingError:
            continue
        chunks = chunk(
            document, count_tokens=embeddings.count_tokens, max_tokens=embeddings.max_tokens
        )
        texts.update(dict.fromkeys(chunk.embedded_text for chunk in chunks))
    return list(texts)


def make_small_files(folder: Path, count: int) -> None:
    """Notes of a few lines, a hundred in a folder; an hour old, as files mostly are."""
    written = time.time() - _AN_HOUR_S
    for number in range(count):
        place = folder / f"{number // _FILES_A_FOLDER:04d}" / f"note-{number:06d}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"# Note {number}\n\nThis is what note {number} says.\n", "utf-8")
        os.utime(place, (written, written))


def make_prose(words: list[str], size: int, seed: int) -> Iterator[str]:
    """Paragraphs of random words, about ``size`` characters in all."""
    choose = random.Random(seed)  # noqa: S311 - a corpus, no secret
    while size > 0:
        paragraph = " ".join(choose.choices(words, k=100)) + ".\n\n"
        size -= len(paragraph)
        yield paragraph
