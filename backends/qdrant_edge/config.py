"""What a collection is made of, between ``qdrant_client``, the engine and ``collection.json``."""

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from backends.qdrant_edge.errors import refuse_given, unsupported

MAX_SEGMENT_KB = 200_000
"""Of dense vectors, 130,000 of 384 dimensions: so much is merged and indexed at once. It bounds the
memory of the process that does it, which would grow with the collection."""
_DISTANCES = {
    models.Distance.COSINE: edge.Distance.Cosine,
    models.Distance.DOT: edge.Distance.Dot,
    models.Distance.EUCLID: edge.Distance.Euclid,
    models.Distance.MANHATTAN: edge.Distance.Manhattan,
}


def to_config(
    vectors: Mapping[str, models.VectorParams], sparse: Mapping[str, models.SparseVectorParams]
) -> edge.EdgeConfig:
    """The engine's configuration of named vectors."""
    return edge.EdgeConfig(
        vectors={name: _dense(params) for name, params in vectors.items()},
        sparse_vectors={name: _sparse(params) for name, params in sparse.items()},
        # Else optimised segments keep half a kilobyte a point in memory, however many there are.
        id_tracker_memory=edge.Memory.Cold,
        optimizers=edge.EdgeOptimizersConfig(max_segment_size=MAX_SEGMENT_KB),
    )


def _dense(source: models.VectorParams) -> edge.EdgeVectorParams:
    refuse_given(
        "vector parameters",
        **{name: value for name, value in source if name not in ("size", "distance")},
    )
    return edge.EdgeVectorParams(source.size, _DISTANCES[source.distance])


def _sparse(source: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    refuse_given("sparse vector parameters", index=source.index)
    if source.modifier not in (None, models.Modifier.NONE, models.Modifier.IDF):
        raise unsupported(f"the modifier {source.modifier}")
    idf = source.modifier is models.Modifier.IDF
    return edge.EdgeSparseVectorParams(
        modifier=edge.Modifier.Idf if idf else None,
        # Else optimised segments keep a fifth of a kilobyte a point in memory; this is as fast.
        memory=edge.Memory.Cached,
    )


def describe(
    vectors: Mapping[str, models.VectorParams],
    sparse: Mapping[str, models.SparseVectorParams],
    metadata: dict[str, Any] | None,
) -> dict[str, Any]:
    """A collection as JSON values."""
    return {
        "vectors": {name: _plain(params) for name, params in vectors.items()},
        "sparse_vectors": {name: _plain(params) for name, params in sparse.items()},
        "metadata": metadata,
    }


def _plain(source: BaseModel) -> dict[str, Any]:
    return source.model_dump(mode="json", exclude_none=True)


def to_collection_info(
    description: dict[str, Any], info: "edge.ShardInfo", points: int
) -> models.CollectionInfo:
    """A described collection as a server would show it, with the engine's default parameters."""
    return models.CollectionInfo(
        status=models.CollectionStatus.GREEN,
        optimizer_status=models.OptimizersStatusOneOf.OK,
        points_count=points,
        indexed_vectors_count=info.indexed_vectors_count,
        segments_count=info.segments_count,
        payload_schema={
            name: models.PayloadIndexInfo(
                data_type=_schema_type(index.data_type), points=index.points
            )
            for name, index in info.payload_schema.items()
        },
        config=models.CollectionConfig(
            params=models.CollectionParams(
                vectors={
                    name: models.VectorParams(**params)
                    for name, params in description["vectors"].items()
                },
                sparse_vectors={
                    name: models.SparseVectorParams(**params)
                    for name, params in description["sparse_vectors"].items()
                },
            ),
            hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
            optimizer_config=models.OptimizersConfig(
                deleted_threshold=0.2,
                vacuum_min_vector_number=1000,
                default_segment_number=0,
                flush_interval_sec=0,
            ),
            metadata=description["metadata"],
        ),
    )


def _schema_type(source: edge.PayloadSchemaType) -> models.PayloadSchemaType:
    """``PayloadSchemaType.Keyword`` as ``keyword``."""
    return models.PayloadSchemaType(str(source).rpartition(".")[2].lower())


Schema = edge.PayloadSchemaType | edge.KeywordIndexParams | edge.FloatIndexParams


def to_schema(source: Any) -> Schema:
    """The index of a payload field, by type; of the parameters, ``is_tenant`` is understood.

    Those of keywords and decimals are read from the disk, where optimised: they grow with the
    points.
    """
    if isinstance(source, models.KeywordIndexParams):
        given = {name: value for name, value in source if name not in ("type", "is_tenant")}
        refuse_given("a keyword index", **given)
        return edge.KeywordIndexParams(is_tenant=source.is_tenant, memory=edge.Memory.Cold)
    if source is models.PayloadSchemaType.KEYWORD:
        return edge.KeywordIndexParams(memory=edge.Memory.Cold)
    if source is models.PayloadSchemaType.FLOAT:
        return edge.FloatIndexParams(memory=edge.Memory.Cold)
    if isinstance(source, models.PayloadSchemaType):
        schema: edge.PayloadSchemaType = getattr(edge.PayloadSchemaType, source.value.capitalize())
        return schema
    raise unsupported(f"the index {type(source).__name__}")
