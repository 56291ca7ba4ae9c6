"""Versions of documents put into the store, each of which a search sees whole or not at all.

A version is written hidden, over as many windows as it takes. When its last point is stored, one
transaction of the manifest makes it the document's and has the old version leave, and one step of
the event loop shows the one and hides the other. Then the old one's points are deleted. A new
document has no old version, a deleted one no new version; otherwise they are the same.

A crash before the transaction leaves the old version in force, one after it the new version; the
points that are not in force are known to the manifest, which ``hide_unsettled`` asks.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from langchain_qdrant.sparse_embeddings import SparseVector

from backends.vector_store import Point
from backends.visibility import Visibility
from indexer import pairing
from indexer.manifest import Manifest
from indexer.patience import Patience
from indexer.points import modified_at
from indexer.records import FileRecord
from indexer.windows import Window

_BATCH = 256


class Store(pairing.Half, Protocol):
    """What replacing needs of a vector store."""

    @property
    def visibility(self) -> Visibility: ...
    async def upsert(self, points: Sequence[Point]) -> None: ...
    async def delete(self, ids: Sequence[str]) -> None: ...
    async def redate(self, ids: Sequence[str], modified_at: float) -> None: ...


class KeywordEncoder(Protocol):
    """What replacing needs of BM25; blocking."""

    def embed_documents(self, texts: list[str]) -> list[SparseVector]: ...


async def hide_unsettled(manifest: Manifest, visibility: Visibility) -> None:
    """Keeps from searches what a crash left half done, until a sync puts it right.

    To be called before the first search.
    """
    if manifest.exists():
        visibility.conceal(await manifest.unsettled())


class Replacement:
    """Puts versions in force, and takes them out."""

    def __init__(
        self, store: Store, manifest: Manifest, sparse: KeywordEncoder, patience: Patience
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._sparse = sparse
        self._patience = patience

    async def store(self, window: Window) -> int:
        """Stores a window of points, and puts in force the documents that it completes.

        Returns:
            How many points were written.
        """
        await self._stamp()
        await self._manifest.intend(
            [
                (document.reading.record, [draft.point for draft in drafts])
                for document, drafts in window.parts
                if drafts
            ]
        )
        points = await asyncio.to_thread(self._points, window)
        await self._store.visibility.hide([point.id for point in points])
        if points:
            await self._patience.keep_trying(lambda: self._store.upsert(points))
        await self._put_in_force(window)
        return len(points)

    async def delete(self, files: Sequence[FileRecord]) -> None:
        """Takes files out of the manifest and of the searches, then of the store."""
        if files:
            await self._stamp()
        for start in range(0, len(files), _BATCH):
            some = files[start : start + _BATCH]
            held = await self._manifest.points(some)
            leaving = [point.id for points in held for point in points]
            await self._manifest.remove(some)
            await self._store.visibility.hide(leaving)
            await self._delete(leaving)

    async def sweep(self) -> None:
        """Deletes what was leaving when a crash or a dead backend came between.

        What was intended and turned out not to be stored is not kept hidden either.
        """
        leaving = await self._manifest.leaving()
        await self._store.visibility.hide(leaving)
        await self._delete(leaving)
        unsettled = await self._manifest.unsettled()
        self._store.visibility.forget(self._store.visibility.hidden.difference(unsettled))

    async def redate(self, file: FileRecord, kept: Sequence[str] | None = None) -> None:
        """Gives the file's points, or those that it kept, the time of its last change.

        In place: which version a search sees does not depend on it.
        """
        if kept is None:
            ((*held,),) = await self._manifest.points([file])
            kept = [point.id for point in held]
        if kept:
            await self._patience.keep_trying(lambda: self._store.redate(kept, modified_at(file)))

    async def _stamp(self) -> None:
        await self._patience.keep_trying(lambda: pairing.stamp(self._manifest, self._store))

    async def _put_in_force(self, window: Window) -> None:
        for document in window.finished:
            await self.redate(document.reading.record, document.kept)
        await self._manifest.commit(
            [
                (
                    document.reading.record._replace(indexed_at=time.time()),
                    [draft.point for draft in document.reading.drafts],
                )
                for document in window.finished
            ]
        )
        stale = [point for document in window.finished for point in document.stale]
        new = [draft.point.id for document in window.finished for draft in document.due]
        await self._store.visibility.hide(stale, instead_of=new)
        await self._delete(stale)

    async def _delete(self, leaving: Sequence[str]) -> None:
        """Deletes points that no search sees any more."""
        for start in range(0, len(leaving), _BATCH):
            some = leaving[start : start + _BATCH]
            await self._patience.keep_trying(lambda some=some: self._store.delete(some))  # type: ignore[misc]  # mypy cannot type a default of a lambda
            await self._manifest.left(some)
            self._store.visibility.forget(some)

    def _points(self, window: Window) -> list[Point]:
        drafts = list(window.drafts())
        sparse = self._sparse.embed_documents([draft.keywords for draft in drafts])
        return [
            Point(
                id=draft.point.id,
                text=draft.text,
                metadata=draft.metadata,
                dense=window.vectors[draft.point.content_hash],
                sparse=keywords,
            )
            for draft, keywords in zip(drafts, sparse, strict=True)
        ]
