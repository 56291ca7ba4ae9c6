"""The index built anew under another model: Edge, MiniLM and Ollama, questions throughout."""

import asyncio
import contextlib
import random
import shutil
import sys
from collections import namedtuple
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from api.reindex import Reindexing
from api.service import Service, open_service
from backends.qdrant_edge.client import EdgeClient
from errors import (
    EmbeddingsUnavailable,
    FingerprintMismatch,
    ParsingError,
    PathError,
    ReindexRefused,
    StoreLocked,
    UsageError,
    VectorStoreUnavailable,
)
from indexer.manifest import manifest_path
from indexer.parsing import parse
from indexer.progress import Progress
from settings import EmbeddingSettings, Settings
from tests.corpus import write_corpus
from tests.ollama_server import OllamaServer, crash
from tests.outcomes import ANSWER, QUESTION

MINILM = EmbeddingSettings()
OLD, NEW = "mxbai-embed-large", "nomic-embed-text"
DIMENSIONS = {MINILM.provider: 384, OLD: 24, NEW: 16}
VECTORS = {"dense": models.VectorParams(size=2, distance=models.Distance.COSINE)}
KILLS = 8


@pytest.fixture
def old() -> Iterator[EmbeddingSettings]:
    with OllamaServer(model=OLD, dimension=DIMENSIONS[OLD]) as server:
        yield choose(server)


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(model=NEW, dimension=DIMENSIONS[NEW]) as running:
        yield running


@pytest.fixture
def new(server: OllamaServer) -> EmbeddingSettings:
    return choose(server)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = write_corpus(tmp_path / "vardholm")
    for number in range(30):
        text = f"# Island {number}\n\nIsland {number} has {number + 3} sheep and a white house.\n"
        (folder / f"island-{number}.md").write_text(text)
    return folder


def fine(server: OllamaServer, body: dict[str, Any]) -> None:
    """Answer as asked."""


def choose(server: OllamaServer) -> EmbeddingSettings:
    return EmbeddingSettings(provider="ollama", base_url=server.url, model=server.model)


def opened(
    corpus: Path, chosen: EmbeddingSettings
) -> contextlib.AbstractAsyncContextManager[Service]:
    """A service over the data folder beside the corpus."""
    settings = Settings(data_dir=corpus.parent / "data", embeddings=chosen, _env_file=None)
    return open_service(settings)


@contextlib.asynccontextmanager
async def indexed(corpus: Path, chosen: EmbeddingSettings) -> AsyncIterator[Service]:
    """The same, in line with the corpus."""
    async with opened(corpus, chosen) as service:
        await service.indexing.run([corpus])
        yield service


def reindexing(service: Service) -> Reindexing:
    return Reindexing(service, retry_delays_s=(0.0,))


async def ask(service: Service, question: str = QUESTION) -> dict[str, Any]:
    return dict(await service.graph.ainvoke({"question": question}, context=service.context()))


def aliases(corpus: Path) -> dict[str, str]:
    found = EdgeClient(corpus.parent / "data" / "qdrant").get_aliases().aliases
    return {alias.alias_name: alias.collection_name for alias in found}


def collections(corpus: Path) -> list[str]:
    found = EdgeClient(corpus.parent / "data" / "qdrant").get_collections().collections
    return [collection.name for collection in found]


async def contents(service: Service) -> dict[str, Any]:
    """Every point, and that its vectors are the model's."""
    store = service.backends.store
    points = {point: metadata async for point, metadata in store.scroll()}
    vectors = await store.vectors(list(points))
    dimension = (await service.backends.embeddings.fingerprint()).dimension
    assert {len(dense) for dense, _ in vectors.values()} <= {dimension}
    return points


async def from_scratch(corpus: Path, chosen: EmbeddingSettings) -> dict[str, Any]:
    """What an index holds that was made with this model at once."""
    data = corpus.parent / f"fresh-{random.random()}"  # noqa: S311 - a name
    async with open_service(Settings(data_dir=data, embeddings=chosen, _env_file=None)) as service:
        await service.indexing.run([corpus])
        return await contents(service)


class Searches:
    """Every search of the embedded store: its collection, and how long its dense vector was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, int]] = []
        search = EdgeClient.query_points

        def record(client: EdgeClient, name: str, *args: Any, **request: Any) -> Any:
            dense = next(arm.query for arm in request["prefetch"] if arm.using == "dense")
            self.seen.append((name, len(dense)))
            return search(client, name, *args, **request)

        monkeypatch.setattr(EdgeClient, "query_points", record)


async def test_questions_are_answered_throughout_each_from_one_consistent_index(
    corpus: Path, new: EmbeddingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with indexed(corpus, MINILM) as service:
        searches, outputs, finished = Searches(monkeypatch), list[dict[str, Any]](), asyncio.Event()

        async def keep_asking() -> None:
            while not finished.is_set():
                outputs.append(await ask(service))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(keep_asking())
            before = await ask(service)
            report = await reindexing(service).reindex(new)
            for _ in range(3):
                outputs.append(await ask(service))
            finished.set()
        assert report is not None
        assert report.failed == []
        assert ANSWER in before["answer"]
        assert all(
            output["documents"] and not output["notice"].startswith("Searched")
            for output in outputs
        )
        assert set(searches.seen) == {("documents-1", 384), ("documents-2", DIMENSIONS[NEW])}
        assert searches.seen[-1][0] == "documents-2"
        assert service.backends.embeddings.name == NEW
        assert await contents(service) == await from_scratch(corpus, new)
    assert aliases(corpus) == {"documents": "documents-2", "documents-previous": "documents-1"}


async def test_until_it_is_reindexed_keywords_answer_and_a_sync_refuses(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old):
        pass
    async with opened(corpus, new) as service:
        output = await ask(service)
        assert ANSWER in " ".join(document["text"] for document in output["documents"])
        assert "Searched by keywords alone" in output["notice"]
        assert "`tandem reindex`" in output["notice"]
        with pytest.raises(FingerprintMismatch, match="tandem reindex"):
            await service.indexing.run([corpus])
        assert await reindexing(service).reindex(None) is not None
        assert "keywords" not in (await ask(service))["notice"]
        report = await service.indexing.run([corpus])
        assert (report.unchanged, report.chunks_embedded) == (34, 0)


async def test_embeddings_that_come_back_as_another_model_never_search_the_old_index(
    corpus: Path, old: EmbeddingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with indexed(corpus, old):
        pass
    with OllamaServer(model=NEW, dimension=DIMENSIONS[OLD]) as late:
        late.fail(*[crash] * 50)
        async with opened(corpus, choose(late)) as service:
            assert "keywords" in (await ask(service))["notice"]
            late._failures.clear()
            assert "`tandem reindex`" in (await ask(service))["notice"]


async def test_edits_and_new_folders_during_the_build_are_in_the_new_index(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    more = corpus.parent / "more"
    async with indexed(corpus, old) as service:
        edits = iter(["edit", "delete", "add"])
        syncs: list[asyncio.Task[Any]] = []

        def edit(progress: Progress) -> None:
            match next(edits, None):
                case "edit":
                    (corpus / "island-3.md").write_text("# Island 3\n\nNow it has a bridge.\n")
                case "delete":
                    (corpus / "island-4.md").unlink()
                case "add":
                    more.mkdir()
                    (more / "bell.md").write_text("The fog bell weighs 640 kilograms.\n")
                    syncs.append(asyncio.create_task(service.indexing.run([corpus, more])))

        assert await reindexing(service).reindex(new, edit) is not None
        await asyncio.gather(*syncs)
        await service.indexing.run([corpus, more])
        sources = {metadata["source"] for metadata in (await contents(service)).values()}
        assert "vardholm/island-4.md" not in sources
        found = await service.backends.store.search("bridge", k=3, mode="sparse")
        assert found[0].metadata["source"] == "vardholm/island-3.md"
        assert next(edits, "none left") == "none left"
        assert "more/bell.md" in sources


async def test_a_rollback_returns_to_the_old_index_and_brings_it_in_line(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        index = reindexing(service)
        await index.reindex(new)
        (corpus / "island-5.md").write_text("# Island 5\n\nA new harbour was dug.\n")
        await service.indexing.run([corpus])
        report = await index.rollback(None)
        assert (report.changed, report.chunks_embedded) == (1, 1)
        assert service.backends.embeddings.name == OLD
        assert aliases(corpus) == {"documents": "documents-1", "documents-previous": "documents-2"}
        assert await contents(service) == await from_scratch(corpus, old)
        assert "keywords" not in (await ask(service))["notice"]
        await index.rollback(new)  # and forth
        assert await contents(service) == await from_scratch(corpus, new)


async def test_a_rollback_says_what_is_missing(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        with pytest.raises(UsageError, match="nothing to go back to"):
            await reindexing(service).rollback(None)
        await reindexing(service).reindex(new)
    async with opened(corpus, new) as service:
        with pytest.raises(FingerprintMismatch, match=rf"made with {OLD}.*PROVIDER.*--rollback"):
            await reindexing(service).rollback(None)
        assert aliases(corpus)["documents"] == "documents-2"
        await reindexing(service).rollback(old)
        assert service.backends.embeddings.name == OLD
        assert await reindexing(service).prune() == ["documents-2"]
        with pytest.raises(UsageError, match="nothing to go back to"):
            await reindexing(service).rollback(new)
    assert collections(corpus) == ["documents-1"]
    assert not manifest_path(corpus.parent / "data", "documents-2").exists()


async def test_exactly_one_old_index_is_kept(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        index = reindexing(service)
        await index.reindex(new)
        await index.reindex(MINILM)
        assert collections(corpus) == ["documents-2", "documents-3"]
        assert await index.reindex(MINILM) is None
        await index.reindex(old)
    assert collections(corpus) == ["documents-3", "documents-4"]
    manifests = {file.name for file in (corpus.parent / "data" / "manifests").glob("*.sqlite3")}
    assert manifests == {"documents-3.sqlite3", "documents-4.sqlite3"}


async def test_kills_at_any_moment_harm_nothing_and_the_next_reindex_completes(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        untouched = await contents(service)
    data = corpus.parent / "data"
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    child = Path(__file__).with_name("reindex_child.py")
    switched = 0
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(child), str(data), old.base_url or "", OLD, new.base_url or "", NEW,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), chance.uniform(0.0, 1.6))
        if process.returncode is None:
            process.kill()
            await process.wait()
        now = aliases(corpus)["documents"]
        assert len(collections(corpus)) <= 3  # live, kept, begun
        async with opened(corpus, old if now == "documents-1" else new) as service:
            output = await ask(service)
            assert output["documents"]
            assert "keywords" not in output["notice"]
            if now == "documents-1":
                assert await contents(service) == untouched
            else:
                switched += 1
                await reindexing(service).rollback(old)
    async with opened(corpus, old) as service:
        await reindexing(service).reindex(new)
        assert await contents(service) == await from_scratch(corpus, new)
    assert switched < KILLS  # else no kill came in time
    assert len(collections(corpus)) == 2


async def test_an_unfinished_build_is_gone_on_with_and_others_are_removed(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings, server: OllamaServer
) -> None:
    async with indexed(corpus, old) as service:
        with OllamaServer(model="bge-large", dimension=8) as third:
            third.fail(fine, fine, *[crash] * 100)
            with pytest.raises(EmbeddingsUnavailable):
                await reindexing(service).reindex(choose(third))
        client: Any = service.backends.store.client
        client.create_collection("documents-7", vectors_config=VECTORS, metadata={"of": "others"})
        assert collections(corpus) == ["documents-1", "documents-2", "documents-7"]

        server.fail(fine, fine, fine, *[crash] * 100)
        with pytest.raises(EmbeddingsUnavailable):
            await reindexing(service).reindex(new)
        assert collections(corpus) == ["documents-1", "documents-3", "documents-7"]
        assert "keywords" not in (await ask(service))["notice"]

        server._failures.clear()
        held = await service.backends.store.beside(
            "documents-3", service.backends.embeddings
        ).count()
        report = await reindexing(service).reindex(new)
        assert report is not None
        assert report.chunks_embedded + held >= 34
        assert await contents(service) == await from_scratch(corpus, new)
    assert aliases(corpus)["documents"] == "documents-3"
    assert collections(corpus) == ["documents-1", "documents-3", "documents-7"]


async def test_a_root_that_is_away_stops_it_and_nothing_is_lost(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        before = await contents(service)
        await asyncio.to_thread(corpus.rename, corpus.with_name("unmounted"))
        with pytest.raises(PathError, match="mounted"):
            await reindexing(service).reindex(new)
        await asyncio.to_thread(corpus.mkdir)  # the mount point of a disk that is away
        with pytest.raises(PathError, match="not mounted"):
            await reindexing(service).reindex(new)
        assert await contents(service) == before
        assert aliases(corpus) == {"documents": "documents-1"}


async def test_what_could_be_read_before_and_not_now_keeps_the_old_index(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, **more: Any) -> Any:
        if path.name == "birds.html":
            raise ParsingError("the parser is broken")
        return parse(path, **more)

    async with indexed(corpus, old) as service:
        monkeypatch.setattr("indexer.sync.parse", broken)
        with pytest.raises(ReindexRefused, match=r"birds\.html: the parser is broken"):
            await reindexing(service).reindex(new)
        assert service.backends.embeddings.name == OLD
        assert aliases(corpus) == {"documents": "documents-1"}
        monkeypatch.undo()
        assert await reindexing(service).reindex(new) is not None


async def test_a_full_disk_is_a_clear_error_and_the_old_index_goes_on(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    async with indexed(corpus, old) as service:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
        with pytest.raises(VectorStoreUnavailable, match=r"is full .*TANDEM_DATA_DIR"):
            await reindexing(service).reindex(new)
        assert "keywords" not in (await ask(service))["notice"]
        monkeypatch.undo()
        assert await reindexing(service).reindex(new) is not None


async def test_two_reindexes_at_once_are_one_too_many(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        results = await asyncio.gather(
            reindexing(service).reindex(new),
            reindexing(service).reindex(new),
            return_exceptions=True,
        )
        assert sum(isinstance(result, StoreLocked) for result in results) == 1
        assert aliases(corpus)["documents"] == "documents-2"


async def test_stopping_it_leaves_everything_as_it_was(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old) as service:
        begun = asyncio.Event()
        task = asyncio.create_task(reindexing(service).reindex(new, lambda _: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert aliases(corpus) == {"documents": "documents-1"}
        assert await reindexing(service).reindex(new) is not None


async def test_a_file_named_alone_does_not_bring_its_folder(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    private = corpus.parent / "private"
    private.mkdir()
    (private / "shared.md").write_text("The tower clock is wound on Mondays.\n")
    (private / "diary.md").write_text("Nobody shall read this.\n")
    async with indexed(corpus, old) as service:
        await service.indexing.run([private / "shared.md"])
        before = {metadata["source"] for metadata in (await contents(service)).values()}
        await reindexing(service).reindex(new)
        after = {metadata["source"] for metadata in (await contents(service)).values()}
        assert after == before
        assert "private/shared.md" in after


async def test_a_lost_manifest_does_not_empty_the_new_index(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    async with indexed(corpus, old):
        pass
    shutil.rmtree(corpus.parent / "data" / "manifests")
    async with opened(corpus, new) as service:
        await reindexing(service).reindex(None)
        assert await contents(service) == await from_scratch(corpus, new)


async def test_the_index_of_an_earlier_version_gets_a_number_and_keeps_its_vectors(
    corpus: Path, old: EmbeddingSettings, new: EmbeddingSettings
) -> None:
    data = corpus.parent / "data"
    async with indexed(corpus, old) as service:
        before = await contents(service)
    (data / "qdrant" / ".aliases.json").unlink()
    (data / "qdrant" / "documents-1").rename(data / "qdrant" / "documents")
    manifest_path(data, "documents-1").rename(data / "manifest.sqlite3")
    async with opened(corpus, old) as service:
        assert await contents(service) == before
        report = await service.indexing.run([corpus])
        assert (report.unchanged, report.chunks_embedded) == (34, 0)
        await reindexing(service).reindex(new)
    assert aliases(corpus) == {"documents": "documents-2", "documents-previous": "documents-1"}


async def test_before_anything_is_indexed_there_is_nothing_to_build(
    corpus: Path, new: EmbeddingSettings
) -> None:
    with OllamaServer() as gone:
        away = choose(gone)
    async with opened(corpus, away) as service:
        with pytest.raises(UsageError, match="tandem index PATH"):
            await reindexing(service).reindex(new)
