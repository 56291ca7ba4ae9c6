"""A peer of ``benchmarks.indexing_peers`` as a process of its own: one framework, one folder.

    python indexing_peer.py {langchain,llama_index,haystack} FOLDER

Reads one JSON object a line. ``{"split": SIZE}`` is answered with how many chunks that chunk size
makes; ``{"index": WORK, "size": SIZE}`` indexes the folder into the new folder ``WORK`` and is
answered with the seconds from reading the first file to the last point stored, and with the chunks
and tokens that were embedded. The embedder is Tandem's for all; unlike Tandem they give it chunks
of any length, so longer ones are cut off, as sentence-transformers would.
"""

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backends.minilm.model import DIMENSION, MiniLM
from backends.minilm.wordpiece import encode

NAME = "documents"
_BATCH = 1000
Index = Callable[[Path, int], None]
Split = Callable[[int], int]


class Embedder(MiniLM):
    """MiniLM for callers without an event loop, on the same two lanes as Tandem's indexing."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = self.tokens = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.texts += len(texts)
        return asyncio.run_coroutine_threadsafe(self.aembed_documents(texts), self._loop).result()

    def token_ids(self, text: str) -> list[int]:
        """Without special tokens."""
        [ids] = encode([text], self._folder)
        return ids[1:-1]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        all_ids = encode(texts, self._folder)
        kept = [
            [*ids[: self.max_tokens - 1], ids[-1]] if len(ids) > self.max_tokens else ids
            for ids in all_ids
        ]
        self.tokens += sum(map(len, kept))
        return kept


def langchain(folder: Path, model: Embedder) -> tuple[Split, Index]:
    """``index()`` with a ``SQLRecordManager``: its indexing how-to."""
    from langchain_classic.indexes import (  # type: ignore[import-not-found]
        SQLRecordManager,
    )
    from langchain_community.document_loaders import (  # type: ignore[import-not-found]
        DirectoryLoader,
        TextLoader,
    )
    from langchain_core.indexing import index
    from langchain_qdrant import QdrantVectorStore
    from langchain_text_splitters import (  # type: ignore[import-not-found]
        RecursiveCharacterTextSplitter,
    )
    from qdrant_client import QdrantClient, models

    def split(size: int) -> Any:
        loader = DirectoryLoader(
            str(folder),
            glob="**/*",
            loader_cls=TextLoader,
            loader_kwargs={"encoding": "utf-8", "autodetect_encoding": True},
        )
        splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=0)
        return splitter.split_documents(loader.load())

    def run(work: Path, size: int) -> None:
        client = QdrantClient(path=str(work / "qdrant"))
        params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        client.create_collection(NAME, vectors_config=params)
        store = QdrantVectorStore(client, NAME, model)
        records = SQLRecordManager(f"qdrant/{NAME}", db_url=f"sqlite:///{work / 'records.sql'}")
        records.create_schema()
        found = index(
            split(size),
            records,
            store,
            cleanup="incremental",
            source_id_key="source",
            batch_size=_BATCH,
        )
        assert client.count(NAME).count == found["num_added"] > 0
        client.close()

    return lambda size: len(split(size)), run


def llama_index(folder: Path, model: Embedder) -> tuple[Split, Index]:
    """``IngestionPipeline`` with a docstore, as its page on document management shows."""
    from llama_index.core import SimpleDirectoryReader  # type: ignore[import-not-found]
    from llama_index.core.embeddings import BaseEmbedding  # type: ignore[import-not-found]
    from llama_index.core.ingestion import IngestionPipeline  # type: ignore[import-not-found]
    from llama_index.core.node_parser import SentenceSplitter  # type: ignore[import-not-found]
    from llama_index.core.storage.docstore import (  # type: ignore[import-not-found]
        SimpleDocumentStore,
    )
    from llama_index.vector_stores.qdrant import (  # type: ignore[import-not-found]
        QdrantVectorStore,
    )
    from qdrant_client import QdrantClient

    class Wrapped(BaseEmbedding):  # type: ignore[misc]  # its package is not here
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return model.embed_documents(texts)

        def _get_text_embedding(self, text: str) -> list[float]:
            return model.embed_documents([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return model.embed_documents([query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    def read() -> Any:
        documents = SimpleDirectoryReader(
            str(folder), recursive=True, filename_as_id=True
        ).load_data()
        for document in documents:  # else the path is embedded with each chunk
            document.excluded_embed_metadata_keys = list(document.metadata)
            document.excluded_llm_metadata_keys = list(document.metadata)
        return documents

    def splitter(size: int) -> Any:
        return SentenceSplitter(chunk_size=size, chunk_overlap=0, tokenizer=model.token_ids)

    def run(work: Path, size: int) -> None:
        client = QdrantClient(path=str(work / "qdrant"))
        pipeline = IngestionPipeline(
            transformations=[splitter(size), Wrapped(embed_batch_size=2048)],
            vector_store=QdrantVectorStore(NAME, client=client, batch_size=_BATCH),
            docstore=SimpleDocumentStore(),
            disable_cache=True,
        )
        nodes = pipeline.run(documents=read())
        pipeline.docstore.persist(str(work / "docstore.json"))
        assert client.count(NAME).count == len(nodes) > 0
        client.close()

    return lambda size: len(splitter(size)(read())), run


def haystack(folder: Path, model: Embedder) -> tuple[Split, Index]:
    """An indexing ``Pipeline`` of converter, splitter, embedder and writer, as in its tutorials."""
    from haystack import Pipeline, component  # type: ignore[import-not-found]
    from haystack.components.converters import (  # type: ignore[import-not-found]
        TextFileToDocument,
    )
    from haystack.components.preprocessors import (  # type: ignore[import-not-found]
        DocumentSplitter,
    )
    from haystack.components.writers import DocumentWriter  # type: ignore[import-not-found]
    from haystack.document_stores.types import (  # type: ignore[import-not-found]
        DuplicatePolicy,
    )
    from haystack_integrations.document_stores.qdrant import (  # type: ignore[import-not-found]
        QdrantDocumentStore,
    )

    # Types are read from the annotations, which must be real ones.
    from haystack import Document  # isort: skip

    @component
    class Wrapped:
        @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
        def run(self, documents: list[Document]) -> dict[str, Any]:
            vectors = model.embed_documents([document.content for document in documents])
            for document, vector in zip(documents, vectors, strict=True):
                document.embedding = vector
            return {"documents": documents}

    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def split(size: int) -> int:
        splitter = DocumentSplitter(split_by="word", split_length=size)
        documents = TextFileToDocument().run(sources=files)["documents"]
        return len(splitter.run(documents=documents)["documents"])

    def run(work: Path, size: int) -> None:
        store = QdrantDocumentStore(
            path=str(work / "qdrant"),
            index=NAME,
            embedding_dim=DIMENSION,
            write_batch_size=_BATCH,
            progress_bar=False,
        )
        pipeline = Pipeline()
        pipeline.add_component("convert", TextFileToDocument())
        pipeline.add_component("split", DocumentSplitter(split_by="word", split_length=size))
        pipeline.add_component("embed", Wrapped())
        pipeline.add_component("write", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
        for sender, receiver in (("convert", "split"), ("split", "embed"), ("embed", "write")):
            pipeline.connect(sender, receiver)
        written = pipeline.run({"convert": {"sources": files}})["write"]["documents_written"]
        assert store.count_documents() == written > 0
        store.close()

    return split, run


PEERS = {
    "langchain": (langchain, ("langchain-core", "langchain-classic", "langchain-qdrant")),
    "llama_index": (llama_index, ("llama-index-core", "llama-index-vector-stores-qdrant")),
    "haystack": (haystack, ("haystack-ai", "qdrant-haystack")),
}


def main() -> None:
    logging.disable(logging.WARNING)
    name, folder = sys.argv[1], Path(sys.argv[2])
    model = Embedder()
    make, packages = PEERS[name]
    split, run = make(folder, model)
    model.embed_documents(["Load the model. " * 60] * 100)
    versions = {package: version(package) for package in packages}
    print(json.dumps({"ready": True, "versions": versions}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "split" in request:
            print(json.dumps({"chunks": split(request["split"])}), flush=True)
            continue
        (work := Path(request["index"])).mkdir(parents=True)
        model.texts = model.tokens = 0
        started = time.perf_counter()
        run(work, request["size"])
        seconds = time.perf_counter() - started
        answer = {"seconds": seconds, "chunks": model.texts, "tokens": model.tokens}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
