"""One index: a collection with the model that made it, and its manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.embeddings import EmbeddingModel
from backends.sparse import Bm25Sparse
from backends.vector_store import VectorStore
from indexer.coverage import covered
from indexer.manifest import Manifest
from indexer.progress import Progress, SyncReport
from indexer.sync import RETRY_DELAYS_S, sync
from indexer.tenants import Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What belongs together: of two indexes, no part may be exchanged."""

    store: VectorStore
    embeddings: EmbeddingModel
    sparse: Bm25Sparse
    manifest: Manifest
    max_file_bytes: int
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    tenants: Tenants = field(default_factory=Tenants)
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S

    async def sync(
        self, paths: Sequence[Path], on_progress: Callable[[Progress], None] | None = None
    ) -> SyncReport:
        """Bring the index in line with the paths; without paths, see that the collection exists.

        Raises: as ``indexer.sync.sync``.
        """
        if not paths:
            await self.store.prepare()
            return SyncReport()
        return await sync(
            paths,
            store=self.store,
            embeddings=self.embeddings,
            sparse=self.sparse,
            manifest=self.manifest,
            max_file_bytes=self.max_file_bytes,
            include=self.include,
            exclude=self.exclude,
            tenants=self.tenants,
            on_progress=on_progress,
            retry_delays_s=self.retry_delays_s,
        )

    async def sync_covered(
        self, on_progress: Callable[[Progress], None] | None = None
    ) -> SyncReport:
        """Bring the index in line with everything that it covers."""
        return await self.sync(await covered(self.manifest), on_progress)
