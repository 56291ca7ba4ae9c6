"""The two places where vectors can be: a Qdrant server, or embedded in this process."""

import logging
import math
import warnings

from qdrant_client import QdrantClient

from backends.collection_alias import live_collection, next_name, set_alias
from backends.embeddings import EmbeddingModel
from backends.qdrant_edge.client import EdgeClient
from backends.qdrant_errors import without_secrets
from backends.sparse import Bm25Sparse
from backends.vector_collection import made_with, note
from backends.vector_store import VectorStore
from settings import Settings

logger = logging.getLogger(__name__)


def open_vector_store(settings: Settings, embeddings: EmbeddingModel) -> VectorStore:
    """The configured store. A server is not contacted yet; an embedded collection is opened.

    Raises:
        StoreLocked: another process holds the embedded store.
        StoreDamaged: the data folder cannot be read.
        SettingsError: the data folder cannot be used.
    """
    name, tenant = settings.qdrant.collection, settings.tenant
    if settings.qdrant.url is not None:
        place = without_secrets(settings.qdrant.url)
        client = _connect(settings)
        store = VectorStore(client, name, embeddings, Bm25Sparse(), place=place, tenant=tenant)
        store.take_over = settings.qdrant.take_over
        return store
    folder = settings.data_dir / "qdrant"
    edge = EdgeClient(folder)
    live = live_collection(edge, name)
    if live is not None and edge.collection_exists(live):
        if live == name and made_with(edge, name):
            live = _number(edge, name)
        edge.open_collection(live)
    return VectorStore(edge, name, embeddings, Bm25Sparse(), place=str(folder), tenant=tenant)


def _number(client: EdgeClient, name: str) -> str:
    """A collection of an earlier version gets a number, so that its name can be an alias."""
    note(client, name, index=name)
    number = next_name(client, name)
    client.close()
    client.rename_collection(name, number)
    set_alias(client, name, number)
    return number


def _connect(settings: Settings) -> QdrantClient:
    key = settings.qdrant.api_key
    with warnings.catch_warnings():
        # "Api key is used with an insecure connection": said once, below, in the log.
        warnings.simplefilter("ignore", UserWarning)
        client = QdrantClient(
            url=settings.qdrant.url,
            api_key=key.get_secret_value() if key else None,
            prefer_grpc=settings.qdrant.prefer_grpc,
            timeout=math.ceil(settings.qdrant.timeout_s),
            check_compatibility=False,  # would contact the server
        )
    if key and not str(settings.qdrant.url).startswith("https:"):
        logger.warning("The Qdrant API key travels unencrypted: use an https URL outside a LAN.")
    return client
