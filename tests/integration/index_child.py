"""Indexes a folder into a data folder: a process for tests to kill. Prints ``begun`` first."""

import asyncio
import sys
from pathlib import Path

from backends.embeddings import create_embeddings
from backends.sparse import Bm25Sparse
from backends.vector_places import open_vector_store
from indexer.manifest import Manifest
from indexer.sync import sync
from settings import Settings


async def main(folder: Path, data_dir: Path) -> None:
    """One sync; ends with exit code 0 when it is complete."""
    settings = Settings(data_dir=data_dir, _env_file=None)
    embeddings = create_embeddings(settings.embeddings)
    await embeddings.aembed_documents(["loads the model"])
    store = open_vector_store(settings, embeddings)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await sync(
        [folder],
        store=store,
        embeddings=embeddings,
        sparse=Bm25Sparse(),
        manifest=Manifest(data_dir),
        max_file_bytes=1_000_000,
    )
    await store.aclose()


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
