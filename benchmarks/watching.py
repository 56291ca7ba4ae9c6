"""From saving a file to finding its text: real events, embedded model and embedded store.

    make bench-watch DATA=DIR

Copies the Markdown and text files of a folder, indexes and follows the copy, and then edits,
creates, renames and deletes files at random, one after the other. A change is in the index when
the search finds what the file says now and no longer what it said before. Each change is measured
from the moment after the write to the answer of the first search that is right; the searches that
wait for it take their own time on the same machine. Prints JSON.
"""

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qdrant_client import models

from api.service import Service, background, open_service
from indexer.sources import SourceFile, discover
from settings import PhoenixSettings, Settings

Kind = Literal["edited", "created", "renamed", "deleted"]
KINDS: tuple[Kind, ...] = ("edited", "edited", "created", "renamed", "deleted")
SUFFIXES = {".md", ".txt", ".rst"}
GOAL_S = 0.3
WITHIN_S = 30.0
_SEARCH_EVERY_S = 0.005


@dataclass
class Tree:
    """The copied files, and what was written into them."""

    root: Path
    files: list[Path]
    chance: random.Random
    words: dict[Path, str] = field(default_factory=dict)
    """The last word that was put into a file, where one was."""
    made: int = 0

    def change(self, kind: Kind) -> "Change":
        """Changes a file at random."""
        path = self.chance.choice(self.files)
        if kind == "edited":
            return self._write(path, path.read_text(errors="replace"))
        if kind == "created":
            self.made += 1
            new = path.with_name(f"new-{self.made}.md")
            self.files.append(new)
            return self._write(new, "# A new file\n")
        old_word = self.words.pop(path, None)
        self.files.remove(path)
        if kind == "deleted":
            path.unlink()
            return Change(self._source(path), None, old_word)
        self.made += 1
        new = path.rename(path.with_name(f"renamed-{self.made}-{path.name}"))
        self.files.append(new)
        if old_word is not None:
            self.words[new] = old_word
        return Change(self._source(path), self._source(new), old_word)

    def _write(self, path: Path, text: str) -> "Change":
        """A paragraph with a word of its own somewhere in the text, the last such one replaced."""
        old = self.words.get(path)
        word = self.words[path] = f"zq{self.chance.getrandbits(60):015x}"
        if old is not None:
            text = text.replace(old, word)
        else:
            paragraphs = text.split("\n\n")
            where = self.chance.randrange(len(paragraphs) + 1)
            text = "\n\n".join(
                [*paragraphs[:where], f"The code of the day is {word}.", *paragraphs[where:]]
            )
        path.write_text(text)
        source = self._source(path)
        return Change(source, source, old, word)

    def _source(self, path: Path) -> str:
        return f"{self.root.name}/{path.relative_to(self.root).as_posix()}"


@dataclass(frozen=True)
class Change:
    """What was done to one file, and how the index can tell."""

    was: str
    """The source as it was."""
    now: str | None
    """The source as it is; None: deleted."""
    old_word: str | None = None
    new_word: str | None = None


async def in_the_index(service: Service, change: Change) -> bool:
    """Whether searches find what the change brought, and nothing of what it took away."""
    store = service.backends.store
    if change.new_word is not None:
        found = await store.search(change.new_word, k=1, mode="sparse")
        if not found or change.new_word not in found[0].page_content:
            return False
        if found[0].metadata["source"] != change.now:
            return False
        if change.old_word is None:
            return True
        stale = await store.search(change.old_word, k=1, mode="sparse")
        return not stale or change.old_word not in stale[0].page_content
    gone = not await store.search("the", k=1, mode="dense", where=source_is(change.was))
    if change.now is None:
        return gone
    return gone and bool(await store.search("the", k=1, mode="dense", where=source_is(change.now)))


def source_is(source: str) -> models.Filter:
    """Only passages of one file."""
    match = models.MatchValue(value=source)
    return models.Filter(must=[models.FieldCondition(key="metadata.source", match=match)])


def copy(data: Path, to: Path) -> list[Path]:
    """The text files of a folder, their places kept."""
    copies = []
    for file in discover(data, max_bytes=50_000_000):
        if not isinstance(file, SourceFile) or file.path.suffix not in SUFFIXES:
            continue
        if file.path.read_bytes().strip():  # of one without text, nothing can be searched
            place = to / file.path.relative_to(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            copies.append(Path(shutil.copyfile(file.path, place)))
    return copies


async def measure(data: Path, *, changes: int, seed: int) -> dict[str, Any]:
    """The latencies of so many changes, and the time of one embedding beside them."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "tree"
        files = await asyncio.to_thread(copy, data, root)
        settings = Settings(
            data_dir=Path(temporary) / "data",
            roots=[root],
            phoenix=PhoenixSettings(endpoint=""),
            _env_file=None,
        )
        async with contextlib.AsyncExitStack() as stack:
            service = await stack.enter_async_context(open_service(settings))
            await stack.enter_async_context(background("follow", service.follower.run()))
            await stack.enter_async_context(service.follower.following([root]))
            await until(lambda: is_current(service), within_s=3600)
            tree = Tree(root, list(files), random.Random(seed))  # noqa: S311 - repeatable, no secret
            seconds: dict[str, list[float]] = {kind: [] for kind in set(KINDS)}
            embeddings: list[float] = []
            for _ in range(changes):
                embeddings.append(await one_embedding(service))
                kind = tree.chance.choice(KINDS)
                change = await asyncio.to_thread(tree.change, kind)
                began = time.perf_counter()
                await until(lambda change=change: in_the_index(service, change))  # type: ignore[misc]  # mypy cannot type a default of a lambda
                seconds[kind].append(time.perf_counter() - began)
            points = await service.backends.store.count()
    every = [value for values in seconds.values() for value in values]
    embedding = statistics.median(embeddings)
    p95 = percentile(every, 0.95)
    return {
        "benchmark": "watching",
        "files": len(files),
        "points": points,
        "save_to_searchable_s": summary(every),
        **{kind: summary(values) for kind, values in sorted(seconds.items()) if values},
        "one_embedding_s": {
            "p50": round(embedding, 4),
            "p95": round(percentile(embeddings, 0.95), 4),
        },
        "p95_less_one_embedding_s": round(p95 - embedding, 4),
        "goal_s": GOAL_S,
        "met": p95 <= GOAL_S + embedding,
    }


async def one_embedding(service: Service) -> float:
    """Seconds for a chunk like one of those that an edit embeds, never asked for before."""
    text = f"The code of the day is {random.getrandbits(60):015x}. " * 8
    began = time.perf_counter()
    await service.backends.embeddings.aembed_documents([text])
    return time.perf_counter() - began


async def is_current(service: Service) -> bool:
    """Whether nothing is due."""
    return (await service.freshness())["state"] == "current"


async def until(condition: Callable[[], Any], *, within_s: float = WITHIN_S) -> None:
    """Asks again and again, as a user who waits for an answer would."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - no event tells what a search finds
            await asyncio.sleep(_SEARCH_EVERY_S)


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """How many, and how they are spread."""
    return {
        "count": len(seconds),
        "p50": round(statistics.median(seconds), 4),
        "p95": round(percentile(seconds, 0.95), 4),
        "max": round(max(seconds), 4),
    }


def percentile(seconds: Sequence[float], share: float) -> float:
    """The value below which that share lies, by the nearest rank."""
    ranked = sorted(seconds)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="any folder of text files")
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    data = options.data.resolve()
    print(json.dumps(asyncio.run(measure(data, changes=options.changes, seed=options.seed))))


if __name__ == "__main__":
    main()
