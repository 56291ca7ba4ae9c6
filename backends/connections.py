"""Every backend that the settings name, opened together and closed together."""

from dataclasses import dataclass, replace
from typing import Self

from backends.embeddings import EmbeddingModel, create_embeddings
from backends.extractive.reader import ExtractiveReader
from backends.installation import installation_secret
from backends.language_model import LanguageModel, create_language_model
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from backends.vector_store import VectorStore
from settings import EmbeddingSettings, Settings


@dataclass(frozen=True, slots=True)
class Backends:
    """What a running Tandem talks to. Made by ``connect``; whoever makes it closes it."""

    settings: Settings
    embeddings: EmbeddingModel
    sparse: Bm25Sparse
    store: VectorStore
    extractive: ExtractiveReader
    language_model: LanguageModel | None
    secret: bytes | None = None
    """Of this installation: marks quoted text in prompts. None: one is made for this process."""

    def with_index(
        self, store: VectorStore, embeddings: EmbeddingModel, chosen: EmbeddingSettings
    ) -> Self:
        """The same backends over another collection and the model that made it.

        Whoever opened the model closes it.
        """
        return replace(
            self,
            settings=self.settings.model_copy(update={"embeddings": chosen}),
            embeddings=embeddings,
            store=store,
            extractive=ExtractiveReader(embeddings),
        )

    async def aclose(self) -> None:
        """Give back sockets, threads and the embedded store's lock."""
        if self.language_model is not None:
            await self.language_model.aclose()
        await self.store.aclose()
        await self.embeddings.aclose()


def connect(settings: Settings, embeddings: EmbeddingModel | None = None) -> Backends:
    """Every backend that the settings name; ``embeddings`` where they were begun earlier.

    Servers are not contacted yet, so one that is down delays and fails nothing here; the
    embedded store is opened, which takes its lock.

    Raises:
        StoreLocked: another process holds the embedded store.
        StoreDamaged: the data folder cannot be read.
    """
    embeddings = embeddings or create_embeddings(
        settings.embeddings, cache_dir=settings.data_dir / "models"
    )
    return Backends(
        settings=settings,
        embeddings=embeddings,
        sparse=Bm25Sparse(),
        store=open_vector_store(settings, embeddings),
        extractive=ExtractiveReader(embeddings),
        language_model=create_language_model(settings.llm),
        secret=installation_secret(settings.data_dir) if settings.llm.base_urls else None,
    )
