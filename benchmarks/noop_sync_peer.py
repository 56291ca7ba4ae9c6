"""The peer of ``benchmarks.noop_sync``: LangChain's ``index()``, as a process of its own.

    python noop_sync_peer.py FOLDER WORK

Its documented way to keep a vector store in step with documents: files loaded by
``DirectoryLoader`` and split by ``RecursiveCharacterTextSplitter``, then ``index()`` with a
``SQLRecordManager`` and ``cleanup="full"``, the mode that also notices deleted files. Each line
read is answered with the seconds of one run.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.stand_in import DIMENSION, StandIn

PACKAGES = ("langchain-classic", "langchain-community", "langchain-core", "langchain-qdrant")


class LangChain:
    """A vector store, its records and the way into both."""

    def __init__(self, folder: str, work: Path) -> None:
        # Only the peer's environment has these.
        from langchain_classic.indexes import (  # type: ignore[import-not-found]
            SQLRecordManager,
        )
        from langchain_qdrant import QdrantVectorStore
        from langchain_text_splitters import (  # type: ignore[import-not-found]
            RecursiveCharacterTextSplitter,
        )
        from qdrant_client import QdrantClient, models

        work.mkdir(parents=True)
        client = QdrantClient(path=str(work / "qdrant"))
        params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        client.create_collection("documents", vectors_config=params)
        self._store = QdrantVectorStore(client, "documents", StandIn())
        self._records = SQLRecordManager(
            "qdrant/documents", db_url=f"sqlite:///{work / 'records.sql'}"
        )
        self._records.create_schema()
        self._splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=0)
        self._folder = folder

    def run(self) -> dict[str, Any]:
        """One ``index()`` of the folder."""
        from langchain_community.document_loaders import (  # type: ignore[import-not-found]
            DirectoryLoader,
            TextLoader,
        )
        from langchain_core.indexing import index

        started = time.perf_counter()
        loader = DirectoryLoader(
            self._folder,
            glob="**/*",
            loader_cls=TextLoader,
            loader_kwargs={"encoding": "utf-8", "autodetect_encoding": True},
            silent_errors=True,
        )
        documents = loader.load()
        found = index(
            self._splitter.split_documents(documents),
            self._records,
            self._store,
            cleanup="full",
            source_id_key="source",
            batch_size=256,
        )
        return {
            "seconds": time.perf_counter() - started,
            "files": len(documents),
            "added": found["num_added"],
            "deleted": found["num_deleted"],
        }


def main() -> None:
    folder, work = sys.argv[1:]
    peer = LangChain(folder, Path(work))
    versions = {package: version(package) for package in PACKAGES}
    print(json.dumps({"ready": True, "versions": versions}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(peer.run()), flush=True)


if __name__ == "__main__":
    main()
