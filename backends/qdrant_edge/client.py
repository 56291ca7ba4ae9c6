"""Qdrant inside this process: the methods of ``QdrantClient`` that we and LangChain use.

The engine is Qdrant Edge, the Rust core of the server. What the methods take and return is
``qdrant_client``'s, so that a vector store need not know where its vectors live. What only a
server can do raises UsageError.
"""

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models
from qdrant_client.http.models import QueryResponse  # `models` has another of that name

from backends.qdrant_edge import models as to
from backends.qdrant_edge.aliases import (
    changed_aliases,
    describe_aliases,
    read_aliases,
    write_aliases,
)
from backends.qdrant_edge.config import describe, to_collection_info, to_config, to_schema
from backends.qdrant_edge.errors import folder_errors, refuse_given, to_id, unsupported
from backends.qdrant_edge.filters import to_filter
from backends.qdrant_edge.shard import Shard, hold
from errors import SettingsError, UsageError, VectorStoreUnavailable

_DONE = models.UpdateStatus.COMPLETED


class EdgeClient:
    """Collections in the folders below ``folder``, each opened when first used.

    Wherever a collection's name is expected, one of its aliases will do.

    Every method may raise StoreLocked (another process has the collection open), StoreDamaged,
    SettingsError (the folder cannot be used) and VectorStoreUnavailable (the disk is full).
    Calls block; they may come from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, Shard] = {}
        self._lock = threading.Lock()

    def collection_exists(self, collection_name: str) -> bool:
        """Whether there is such a collection, whole or damaged."""
        return self._is_collection(self._resolve(collection_name))

    def get_collections(self) -> models.CollectionsResponse:
        """All collections by their own names."""
        with folder_errors(self._folder):
            entries = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
        return models.CollectionsResponse(
            collections=[
                models.CollectionDescription(name=name)
                for name in names
                if self._is_collection(name)
            ]
        )

    def update_collection_aliases(
        self,
        change_aliases_operations: Sequence[models.AliasOperations],
        timeout: int | None = None,
    ) -> bool:
        """Carry out all operations in one step. ``timeout`` means nothing within one process."""
        with self._lock:
            aliases = read_aliases(self._folder)
            write_aliases(
                self._folder,
                changed_aliases(aliases, change_aliases_operations, self._is_collection),
            )
        return True

    def get_aliases(self) -> models.CollectionsAliasesResponse:
        """All aliases."""
        return describe_aliases(read_aliases(self._folder))

    def get_collection_aliases(self, collection_name: str) -> models.CollectionsAliasesResponse:
        """The aliases of the collection with this name of its own."""
        aliases = read_aliases(self._folder)
        return describe_aliases({a: name for a, name in aliases.items() if name == collection_name})

    def open_collection(self, collection_name: str) -> None:
        """Take the lock now rather than at the first use."""
        self._shard(collection_name)

    def create_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> bool:
        """Make a collection of named vectors, and open it."""
        if self.collection_exists(collection_name):
            raise UsageError(f"The collection {collection_name!r} exists already.")
        if isinstance(vectors_config, models.VectorParams):
            raise unsupported("unnamed vectors")
        vectors, sparse = vectors_config or {}, sparse_vectors_config or {}
        # Made without the lock, for which searches of other collections would wait.
        shard = Shard.create(
            self._path(collection_name),
            to_config(vectors, sparse),
            describe(vectors, sparse, metadata),
        )
        with self._lock:
            self._shards[collection_name] = shard
        return True

    def update_collection(self, collection_name: str, metadata: dict[str, Any]) -> bool:
        """Merge entries into the collection's metadata; None removes one."""
        shard = self._shard(collection_name)
        merged = {**(shard.description["metadata"] or {}), **metadata}
        shard.describe(metadata={key: value for key, value in merged.items() if value is not None})
        return True

    def get_collection(self, collection_name: str) -> models.CollectionInfo:
        """Sizes, vectors and metadata, in the shape of Qdrant's 1.16."""
        shard = self._shard(collection_name)
        with shard.engine() as engine:
            info = engine.info()
            points = engine.count(edge.CountRequest(exact=True))
        return to_collection_info(shard.description, info, points)

    def delete_collection(self, collection_name: str) -> bool:
        """Remove a collection, by its own name, with its aliases; False when there is none."""
        if not self._is_collection(collection_name):
            return False
        folder = self._path(collection_name)
        with self._lock, folder_errors(folder):
            if shard := self._shards.pop(collection_name, None):
                shard.close()
            with hold(folder):
                aliases = read_aliases(self._folder)
                kept = {a: name for a, name in aliases.items() if name != collection_name}
                if kept != aliases:
                    write_aliases(self._folder, kept)
                folder.rename(folder.with_name(f".{folder.name}.deleted"))
        # Without the lock, for which searches would wait; and what kills have left behind.
        for gone in self._folder.glob(".*.deleted"):
            shutil.rmtree(gone, ignore_errors=True)
        return True

    def rename_collection(self, collection_name: str, new_name: str) -> None:
        """Give a collection that is not open here another name of its own; only Edge can."""
        folder = self._path(collection_name)
        with self._lock, folder_errors(folder), hold(folder):
            folder.rename(self._path(new_name))

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: models.PayloadSchemaType | models.KeywordIndexParams,
        wait: bool = True,
    ) -> models.UpdateResult:
        """Index a payload field by its type; of the parameters, ``is_tenant`` is understood."""
        return self._update(
            collection_name,
            edge.UpdateOperation.create_field_index(field_name, to_schema(field_schema)),
        )

    def upsert(
        self,
        collection_name: str,
        points: Sequence[models.PointStruct],
        wait: bool = True,
    ) -> models.UpdateResult:
        """Store points, replacing those of the same id. On return they survive a kill."""
        return self._update(
            collection_name,
            edge.UpdateOperation.upsert_points([to.to_point(point) for point in points]),
            len(points),
        )

    def delete(
        self, collection_name: str, points_selector: Any, wait: bool = True
    ) -> models.UpdateResult:
        """Delete points by ids or by a filter."""
        ids, where = to.to_selection(points_selector)
        if where is not None:
            return self._update(
                collection_name, edge.UpdateOperation.delete_points_by_filter(where)
            )
        return self._update(collection_name, edge.UpdateOperation.delete_points(ids), len(ids))

    def set_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        key: str | None = None,
        wait: bool = True,
    ) -> models.UpdateResult:
        """Merge entries into the payload of points given by ids or by a filter."""
        ids, where = to.to_selection(points)
        if where is not None:
            operation = edge.UpdateOperation.set_payload_by_filter(where, payload, key)
        else:
            operation = edge.UpdateOperation.set_payload(ids, payload, key)
        return self._update(collection_name, operation)

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | list[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        lookup_from: None = None,
        consistency: Any = None,
        shard_key_selector: None = None,
        timeout: int | None = None,
    ) -> QueryResponse:
        """The best points. ``consistency`` and ``timeout`` mean nothing within one process."""
        refuse_given("a query", lookup_from=lookup_from, shard_key_selector=shard_key_selector)
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=to.to_query(query, using),
            prefetches=to.to_prefetches(prefetch),
            filter=to_filter(query_filter),
            params=to.to_params(search_params),
            score_threshold=score_threshold,
            with_payload=to.to_payload_selector(with_payload),
            with_vector=to.to_vector_selector(with_vectors),
        )
        with self._shard(collection_name).engine() as engine:
            return QueryResponse(points=to.from_scored(engine.query(request)))

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[models.Record]:
        """Points by id; those that do not exist are left out."""
        with self._shard(collection_name).engine() as engine:
            return to.from_records(
                engine.retrieve(
                    [to_id(id_) for id_ in ids],
                    to.to_payload_selector(with_payload),
                    to.to_vector_selector(with_vectors),
                )
            )

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: None = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
    ) -> tuple[list[models.Record], int | str | None]:
        """A page of points in the order of their ids, and where the next page starts."""
        refuse_given("scrolling", order_by=order_by)
        request = edge.ScrollRequest(
            offset=to_id(offset),
            limit=limit,
            filter=to_filter(scroll_filter),
            with_payload=to.to_payload_selector(with_payload),
            with_vector=to.to_vector_selector(with_vectors),
        )
        with self._shard(collection_name).engine() as engine:
            records, following = engine.scroll(request)
        return to.from_records(records), None if following is None else to.from_id(following)

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
    ) -> models.CountResult:
        """How many points there are."""
        request = edge.CountRequest(exact=exact, filter=to_filter(count_filter))
        with self._shard(collection_name).engine() as engine:
            return models.CountResult(count=engine.count(request))

    def optimize(self, collection_name: str) -> bool:
        """Build the HNSW graph and merge segments: takes seconds, in which searches go on and
        changes wait. False: it could not be done."""
        return self._shard(collection_name).optimize()

    def close(self) -> None:
        """Flush and release every collection."""
        with self._lock:
            while self._shards:
                self._shards.popitem()[1].close()

    def _update(
        self, collection_name: str, operation: edge.UpdateOperation, points: int = 1
    ) -> models.UpdateResult:
        self._shard(collection_name).update(operation, points)
        return models.UpdateResult(status=_DONE)

    def _shard(self, collection_name: str) -> Shard:
        with self._lock:
            if collection_name in self._shards:
                return self._shards[collection_name]
            name = self._resolve(collection_name)
            if name not in self._shards:
                if not self._is_collection(name):
                    raise VectorStoreUnavailable(
                        f"There is no collection {collection_name!r} yet: nothing was indexed. "
                        "Run `tandem index PATH`."
                    )
                self._shards[name] = Shard.open(self._path(name))
            return self._shards[name]

    def _resolve(self, name: str) -> str:
        """The collection's own name."""
        return name if self._is_collection(name) else read_aliases(self._folder).get(name, name)

    def _is_collection(self, name: str) -> bool:
        folder = self._path(name)
        with folder_errors(folder):
            return folder.is_dir() and any(folder.iterdir())

    def _path(self, collection_name: str) -> Path:
        name = Path(collection_name).name
        if not name or name != collection_name or name.startswith("."):
            raise SettingsError(
                f"{collection_name!r} cannot be the name of an embedded collection: it becomes a "
                "folder's name. Change TANDEM_QDRANT__COLLECTION."
            )
        return self._folder / collection_name
