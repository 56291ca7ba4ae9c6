"""The collection that holds the passages: how it is laid out, and whether it fits the model."""

from typing import Any

from qdrant_client import QdrantClient, models

from backends.embeddings import EmbeddingFingerprint
from backends.qdrant_edge.client import EdgeClient
from errors import FingerprintMismatch, ForeignCollection

Client = QdrantClient | EdgeClient

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
}
"""What searches filter by. Each costs time and memory a point, so there are no others: a look-up
along a document names its source, which leaves few points to be told apart by their payload."""


def prepare_collection(
    client: Client, name: str, fingerprint: EmbeddingFingerprint, *, index: str
) -> None:
    """Make sure that the collection exists and was made with this model.

    ``index`` is the configured name, for which a new collection is made.

    Raises:
        ForeignCollection: it was not made by Tandem.
        FingerprintMismatch: it was made with another model.
    """
    created = not client.collection_exists(name)
    if created:
        _create(client, name, fingerprint, index)
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


def made_with(client: Client, name: str) -> dict[str, Any] | None:
    """What is noted with a collection, see ``_create``; None where it is not Tandem's."""
    info = client.get_collection(name)
    stored = (info.config.metadata or {}).get(_METADATA_KEY)
    return stored if isinstance(stored, dict) and _dimension(info) is not None else None


def note(client: Client, name: str, **facts: str) -> None:
    """Change what is noted with a collection beside its model."""
    stored = made_with(client, name) or {}
    if any(stored.get(key) != value for key, value in facts.items()):
        client.update_collection(name, metadata={_METADATA_KEY: {**stored, **facts}})


def _create(client: Client, name: str, fingerprint: EmbeddingFingerprint, index: str) -> None:
    """``index`` tells whose the collection is, ``chunker`` how its texts were last cut.

    Another chunker makes no other vectors: it is no mismatch, the next sync cuts anew.
    """
    client.create_collection(
        name,
        vectors_config={
            DENSE: models.VectorParams(size=fingerprint.dimension, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata={_METADATA_KEY: {**fingerprint.as_dict(), "chunker": "", "index": index}},
    )


def _require_fit(name: str, info: models.CollectionInfo, fingerprint: EmbeddingFingerprint) -> None:
    dimension = _dimension(info)
    stored = (info.config.metadata or {}).get(_METADATA_KEY)
    if stored is None or dimension is None:
        raise ForeignCollection(
            f"The Qdrant collection {name!r} was not made by Tandem, or by a server older than "
            "1.16, which cannot store what made it. Nothing was changed. Name another one with "
            "TANDEM_QDRANT__COLLECTION, or update the server."
        )
    if dimension != fingerprint.dimension or not is_made_with(stored, fingerprint):
        made = {**stored, "dimension": dimension} if isinstance(stored, dict) else stored
        raise _mismatch(name, model_in_words(made), model_in_words(fingerprint.as_dict()))


def _dimension(info: models.CollectionInfo) -> int | None:
    """The size of the dense vectors; None where the layout is not ours."""
    vectors, sparse = info.config.params.vectors, info.config.params.sparse_vectors
    if not isinstance(vectors, dict) or DENSE not in vectors or SPARSE not in (sparse or {}):
        return None
    if vectors[DENSE].distance != models.Distance.COSINE:
        return None
    return vectors[DENSE].size


def is_made_with(stored: Any, fingerprint: EmbeddingFingerprint) -> bool:
    """Whether a collection's vectors may be compared with those of this model.

    Digests count only where both sides know theirs.
    """
    expected = fingerprint.as_dict()
    if not isinstance(stored, dict) or not expected.keys() <= stored.keys():
        return False
    known = stored["digest"] and expected["digest"]
    return all(stored[key] == expected[key] for key in expected if key != "digest" or known)


def model_in_words(stored: Any) -> str:
    """The model that made a collection, for people."""
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
        f"{configured}: their vectors cannot be compared. Run `tandem reindex` to build the index "
        "anew with the configured model while questions are answered by keywords alone, or set "
        "TANDEM_EMBEDDINGS__PROVIDER and TANDEM_EMBEDDINGS__MODEL back."
    )
