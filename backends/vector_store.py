"""Passages as points in Qdrant, on a server or inside this process, through one code path.

The collection is laid out as ``langchain_qdrant`` expects, so that its stock ``QdrantVectorStore``
reads it too. This subclass adds what that class lacks: calls that do not block the event loop, a
hybrid search whose arms fetch more than they return, vectors checked before they are stored, and
errors that say what to do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from langchain_core.documents import Document
from langchain_qdrant import RetrievalMode, SparseEmbeddings
from langchain_qdrant.sparse_embeddings import SparseVector
from qdrant_client import QdrantClient, models

from backends.calls import call
from backends.collection_alias import flip_alias, live_collection, next_name, set_alias
from backends.collection_writer import Writer, note_writer, read_writer
from backends.embeddings import EmbeddingModel
from backends.filters import SearchFilters
from backends.points import Point as Point  # part of this module's interface
from backends.points import require_vectors, to_document, to_struct, to_vectors
from backends.qdrant_edge.client import EdgeClient
from backends.qdrant_errors import server_errors
from backends.search import FUSION, Mode, TenantSearches, search_filter, search_request
from backends.vector_collection import (
    DENSE,
    MODIFIED_AT,
    SPARSE,
    Client,
    note,
    prepare_collection,
)
from backends.visibility import Visibility
from errors import EmbeddingsUnavailable, FingerprintMismatch, ForeignCollection

T = TypeVar("T")
P = ParamSpec("P")

EDGE_SEARCH = models.SearchParams(hnsw_ef=512)
"""The engine's default beam finds too few of the nearest once the HNSW graph is built."""
OPTIMIZE_FROM_POINTS = 20_000
"""Below, exact search takes a few milliseconds and is not worth building a graph for."""
_WRITE_BATCH = 256
_READ_BATCH = 1000
_THREADS = 4


class VectorStore(TenantSearches):
    """One collection of passages and the model that made it. Whoever opens it closes it.

    Every call may raise VectorStoreUnavailable (the server does not answer, or the disk is full),
    StoreLocked or StoreDamaged. ``delete`` and ``search`` are coroutines here, unlike LangChain's.
    """

    def __init__(
        self,
        client: QdrantClient | EdgeClient,
        collection_name: str,
        embedding: EmbeddingModel,
        sparse_embedding: SparseEmbeddings,
        *,
        place: str,
        tenant: str = "default",
        fusion: models.RrfQuery | models.FusionQuery = FUSION,
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        super().__init__(
            # The methods that LangChain calls are those that EdgeClient has.
            client=cast(QdrantClient, client),
            collection_name=collection_name,
            embedding=embedding,
            sparse_embedding=sparse_embedding,
            retrieval_mode=RetrievalMode.HYBRID,
            vector_name=DENSE,
            sparse_vector_name=SPARSE,
            # Both would call the embedding model and the server.
            validate_embeddings=False,
            validate_collection_config=False,
        )
        self.place = place
        """Where the vectors are, for messages."""
        self.visibility = Visibility()
        """What of it searches leave out, while documents are replaced."""
        self.tenant = tenant
        """Whose passages are found: nobody who asks can change it."""
        self.take_over = False
        """Whether to write although another data folder does."""
        self.alias = collection_name
        """The configured name, which other programs use; ``collection_name`` becomes what it
        stands for when the store is opened."""
        self._resolved = False
        self._beside = False
        """Whether the collection is not the one that the alias stands for."""
        self._fits = False
        self._mismatch = ""
        self._model = embedding
        self._fusion = fusion
        self._edge = client if isinstance(client, EdgeClient) else None
        self._params = EDGE_SEARCH if self._edge else None
        self._executor = threads or ThreadPoolExecutor(_THREADS, thread_name_prefix="vectors")

    async def prepare(self) -> None:
        """Create the collection when it is missing; check that it fits the embedding model.

        Raises:
            ForeignCollection: it was not made by Tandem.
            FingerprintMismatch: it was made with another model; keywords can still be searched.
            EmbeddingsUnavailable: the embedding model cannot be asked.
        """
        await self._resolve()
        fingerprint = await self._model.fingerprint()
        await self._run(
            prepare_collection, self.client, self.collection_name, fingerprint, index=self.alias
        )
        if not self._beside:
            await self._run(set_alias, self.client, self.alias, self.collection_name)
        self._mismatch, self._fits = "", True

    async def open(self) -> None:
        """``prepare`` for those who only search: without fitting embeddings, keywords still find.

        That they do is said by every answer, by ``readiness`` and by a sync: not here as well.

        Raises:
            ForeignCollection: the collection was not made by Tandem.
        """
        await self._resolve()
        with contextlib.suppress(EmbeddingsUnavailable, FingerprintMismatch):
            await self.require_fit()

    async def require_fit(self) -> None:
        """Make sure that the model's vectors may be compared with those of the collection.

        Raises: as ``prepare``.
        """
        if self._mismatch:
            raise FingerprintMismatch(self._mismatch)
        if not self._fits:
            try:
                await self.prepare()
            except ForeignCollection:
                raise
            except FingerprintMismatch as exc:
                self._mismatch = str(exc)  # it lasts: another model means another collection
                raise

    async def _resolve(self) -> None:
        """Once, the name becomes the collection's own: what the alias is flipped to later may be
        made with another model, to which this one's vectors must never be compared."""
        if not self._resolved:
            live = await self.live()
            free = await self._run(next_name, self.client, self.alias)
            self.collection_name = live or free
            self._resolved = True

    async def live(self) -> str | None:
        """The collection that the alias stands for now, which another process may have flipped."""
        return await self._run(live_collection, self.client, self.alias)

    def beside(self, collection_name: str | None, embedding: EmbeddingModel) -> "VectorStore":
        """Another collection, or (None) the live one, over the same connection and threads.

        Closing either closes both.
        """
        other = VectorStore(
            self.client,
            collection_name or self.alias,
            embedding,
            self.sparse_embeddings,
            place=self.place,
            tenant=self.tenant,
            fusion=self._fusion,
            threads=self._executor,
        )
        other.take_over = self.take_over
        if collection_name is not None:
            other.alias, other._beside, other._resolved = self.alias, True, True
        return other

    def for_tenant(self, tenant: str) -> "VectorStore":
        """The same open collection, in which this tenant's passages are found and no others.

        Closing either closes both.
        """
        other = copy(self)
        other.tenant = tenant
        return other

    async def go_live(self) -> None:
        """Let the alias stand for this collection, and keep the one it stood for: in one step."""
        await self._run(flip_alias, self.client, self.alias, self.collection_name)
        self._beside = False

    async def ask(
        self, call: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``call(client, ...)`` in one of the store's threads, its errors translated."""
        return await self._run(call, self.client, *args, **kwargs)

    async def upsert(self, points: Sequence[Point]) -> None:
        """Store points, replacing those of the same id. On return they survive a kill.

        Raises:
            EmbeddingMismatch: a vector cannot be stored; then none of these points is.
        """
        if points:
            dimension = (await self._model.fingerprint()).dimension
            require_vectors(points, dimension)
        for batch in _batches(points, _WRITE_BATCH):
            await self._run(self._upsert, batch)

    def _upsert(self, points: Sequence[Point]) -> None:
        self.client.upsert(self.collection_name, [to_struct(point) for point in points], wait=True)

    async def redate(self, ids: Sequence[str], modified_at: float) -> None:
        """Give points another time of their document's last change; unknown ids are no error."""
        for batch in _batches(ids, _READ_BATCH):
            await self._run(
                self.client.set_payload,
                self.collection_name,
                {MODIFIED_AT: modified_at},
                list(batch),
                key=self.METADATA_KEY,
                wait=True,
            )

    async def delete(self, ids: Sequence[str]) -> None:  # type: ignore[override]  # see the class
        """Remove points; ids that do not exist are no error."""
        for batch in _batches(ids, _READ_BATCH):
            await self._run(self.client.delete, self.collection_name, list(batch), wait=True)

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """LangChain's way to delete; without ids nothing is deleted."""
        await self.delete(ids or [])
        return True

    async def vectors(self, ids: Sequence[str]) -> dict[str, tuple[list[float], SparseVector]]:
        """What is stored for these ids, to be stored again; unknown ids are left out."""
        found: dict[str, tuple[list[float], SparseVector]] = {}
        for batch in _batches(ids, _READ_BATCH):
            records = await self._run(
                self.client.retrieve,
                self.collection_name,
                list(batch),
                with_payload=False,
                with_vectors=True,
            )
            found.update((str(record.id), to_vectors(record.vector)) for record in records)
        return found

    async def search(  # type: ignore[override]  # see the class
        self,
        query: str,
        *,
        k: int,
        filters: SearchFilters | None = None,
        where: models.Filter | None = None,
        mode: Mode = "hybrid",
    ) -> list[Document]:
        """The ``k`` best passages, best first, each with its id and ``score`` in the metadata.

        Only the store's tenant's are found, and of them those that pass ``filters`` and ``where``.
        Scores compare within one search only. ``sparse`` needs no embedding model.

        Raises:
            EmbeddingsUnavailable: the embedding model does not answer.
            FingerprintMismatch: the collection was made by another one.
        """
        if mode != "sparse":
            await self.require_fit()
        dense = None if mode == "sparse" else await self._embedded(query)
        sparse = None if mode == "dense" else self.sparse_embeddings.embed_query(query)
        mine = search_filter(self.tenant, filters, where)
        with self.visibility.searching(mine) as visible:
            request = search_request(
                dense, sparse, k=k, where=visible, fusion=self._fusion, params=self._params
            )
            if request is None:
                return []
            with call("vector_store"):
                response = await self._run(
                    self.client.query_points, self.collection_name, **request
                )
        return [to_document(point) for point in response.points]

    async def _embedded(self, query: str) -> list[float]:
        with call("embeddings"):
            return await self._model.aembed_query(query)

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """LangChain's way to search, for its retrievers; takes ``filter``."""
        return await self.search(query, k=k, where=kwargs.get("filter"))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """LangChain's way to search, with scores."""
        documents = await self.asimilarity_search(query, k, **kwargs)
        return [(document, document.metadata["score"]) for document in documents]

    async def scroll(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Id and metadata of every point, in the order of the ids."""
        offset: Any = None
        while True:
            records, offset = await self._run(
                self.client.scroll,
                self.collection_name,
                limit=_READ_BATCH,
                offset=offset,
                with_payload=models.PayloadSelectorInclude(include=[self.METADATA_KEY]),
            )
            for record in records:
                yield str(record.id), (record.payload or {}).get(self.METADATA_KEY) or {}
            if offset is None:
                return

    async def note_chunker(self, version: str) -> None:
        """Note with the collection by which version of the chunker it was last written."""
        await self._run(note, self.client, self.collection_name, chunker=version)

    async def count(self) -> int:
        """How many points are stored, whoever they belong to."""
        result = await self._run(self.client.count, self.collection_name, exact=True)
        return result.count

    @property
    def is_shared(self) -> bool:
        """Whether other data folders can reach it."""
        return self._edge is None

    async def writer(self) -> Writer | None:
        """The data folder that wrote last, with its stamp; None where none did."""
        return await self._run(read_writer, self.client, self.collection_name)

    async def note_writer(self, writer: Writer) -> None:
        """Say who is about to write."""
        await self._run(note_writer, self.client, self.collection_name, writer)

    async def optimize(self) -> None:
        """After a large sync: build the HNSW graph. A server does this on its own."""
        if self._edge is not None and await self.count() >= OPTIMIZE_FROM_POINTS:
            await self._run(self._edge.optimize, self.collection_name)

    async def aclose(self) -> None:
        """Release the connection, or the embedded store's lock, and the threads."""
        try:
            await self._run(self.client.close)
        finally:
            self._executor.shutdown(wait=False)

    async def _run(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a blocking call in a thread, its errors translated."""
        loop = asyncio.get_running_loop()
        with server_errors(self.place):
            return await loop.run_in_executor(self._executor, partial(call, *args, **kwargs))


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
