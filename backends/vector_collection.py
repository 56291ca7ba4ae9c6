"""The collection that holds the passages: how it is laid out, and whether it fits the model."""

from typing import Any

from qdrant_client import QdrantClient, models

from backends.embeddings import EmbeddingFingerprint
from errors import FingerprintMismatch

DENSE = "dense"
SPARSE = "bm25"
_METADATA_KEY = "tandem"
"""Our entry in the collection's metadata."""
MODIFIED_AT = "modified_at"
"""In a point's metadata: the only entry that changes while the point stays."""
_KEYWORD = models.PayloadSchemaType.KEYWORD
_INDEXED_FIELDS: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
    "metadata.tenant": models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, is_tenant=True
    ),
    "metadata.source": _KEYWORD,
    "metadata.folders": _KEYWORD,
    "metadata.type": _KEYWORD,
    f"metadata.{MODIFIED_AT}": models.PayloadSchemaType.FLOAT,
    "metadata.root": _KEYWORD,
    "metadata.content_hash": _KEYWORD,
}
"""What searches filter by, and what documents are looked up by."""


def prepare_collection(client: QdrantClient, name: str, fingerprint: EmbeddingFingerprint) -> None:
    """Make sure that the collection exists and was made with this model.

    Raises:
        FingerprintMismatch: it was made with another model, or not by Tandem.
    """
    created = not client.collection_exists(name)
    if created:
        _create(client, name, fingerprint)
    info = client.get_collection(name)
    try:
        _require_fit(name, info, fingerprint)
    except FingerprintMismatch:
        if created:
            client.delete_collection(name)
        raise
    for field, schema in _INDEXED_FIELDS.items():
        if field not in info.payload_schema:
            client.create_payload_index(name, field, schema)


def _create(client: QdrantClient, name: str, fingerprint: EmbeddingFingerprint) -> None:
    client.create_collection(
        name,
        vectors_config={
            DENSE: models.VectorParams(size=fingerprint.dimension, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata={_METADATA_KEY: fingerprint.as_dict()},
    )


def _require_fit(name: str, info: models.CollectionInfo, fingerprint: EmbeddingFingerprint) -> None:
    dimension = _dimension(info)
    stored = (info.config.metadata or {}).get(_METADATA_KEY)
    if stored is None or dimension is None:
        raise FingerprintMismatch(
            f"The Qdrant collection {name!r} was not made by Tandem, or by a server older than "
            "1.16, which cannot store what made it. Nothing was changed. Name another one with "
            "TANDEM_QDRANT__COLLECTION, or update the server."
        )
    if dimension != fingerprint.dimension or not _same_model(stored, fingerprint):
        made = {**stored, "dimension": dimension} if isinstance(stored, dict) else stored
        raise _mismatch(name, _in_words(made), _in_words(fingerprint.as_dict()))


def _dimension(info: models.CollectionInfo) -> int | None:
    """The size of the dense vectors; None where the layout is not ours."""
    vectors, sparse = info.config.params.vectors, info.config.params.sparse_vectors
    if not isinstance(vectors, dict) or DENSE not in vectors or SPARSE not in (sparse or {}):
        return None
    if vectors[DENSE].distance != models.Distance.COSINE:
        return None
    return vectors[DENSE].size


def _same_model(stored: Any, fingerprint: EmbeddingFingerprint) -> bool:
    """Digests count only where both sides know theirs."""
    expected = fingerprint.as_dict()
    if not isinstance(stored, dict) or stored.keys() < expected.keys():
        return False
    known = stored["digest"] and expected["digest"]
    return all(stored[key] == expected[key] for key in expected if key != "digest" or known)


def _in_words(stored: Any) -> str:
    if not isinstance(stored, dict):
        return repr(stored)
    digest = str(stored.get("digest", ""))[:12]
    return (
        f"{stored.get('model')} ({digest or 'no digest'}, {stored.get('dimension')} dimensions, "
        f"prefixes {stored.get('prefixes')!r})"
    )


def _mismatch(name: str, stored: str, configured: str) -> FingerprintMismatch:
    return FingerprintMismatch(
        f"The index {name!r} was made with {stored}, the configured embedding model is "
        f"{configured}: their vectors cannot be compared. Name a new "
        "TANDEM_QDRANT__COLLECTION and index again, or set "
        "TANDEM_EMBEDDINGS__MODEL and TANDEM_EMBEDDINGS__PROVIDER back."
    )
