"""Reindexes a data folder from one Ollama's model to another's: a process for tests to kill."""

import asyncio
import sys
from pathlib import Path

from api.reindex import Reindexing
from api.service import open_service
from settings import EmbeddingSettings, Settings


async def main(data_dir: Path, old: EmbeddingSettings, new: EmbeddingSettings) -> None:
    """Prints ``begun`` once everything is open; ends with exit code 0 when it is complete."""
    settings = Settings(data_dir=data_dir, embeddings=old, _env_file=None)
    async with open_service(settings) as service:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        await Reindexing(service).reindex(new)


def _ollama(url: str, model: str) -> EmbeddingSettings:
    return EmbeddingSettings(provider="ollama", base_url=url, model=model)


asyncio.run(main(Path(sys.argv[1]), _ollama(*sys.argv[2:4]), _ollama(*sys.argv[4:6])))
