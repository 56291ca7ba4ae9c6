"""The index built anew under another embedding model, beside the live one, which it then replaces.

    build a shadow -> catch up with the disk -> inspect -> flip the alias -> keep the old one

Questions are answered from the live index until the flip, which changes the collection, and with it
the manifest that its name stands for, in one step. A build that is stopped or killed leaves a
shadow, which the next one completes if its model is the same, and removes otherwise. Whatever
happens before the flip, nothing of the live index has changed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from backends.collection_alias import (
    live_collection,
    next_name,
    note_name,
    previous_collection,
    require_alias,
    shadows,
)
from backends.embeddings import EmbeddingFingerprint, EmbeddingModel
from backends.vector_collection import Client, is_made_with, made_with, model_in_words
from errors import EmbeddingsUnavailable, FingerprintMismatch, TandemError, UsageError
from indexer.coverage import covered
from indexer.database import ProcessLock
from indexer.index import Index
from indexer.inspection import inspect
from indexer.manifest import Manifest, discard_manifest
from indexer.mending import mend
from indexer.progress import Progress, SyncReport
from indexer.replacing import hide_unsettled

log = logging.getLogger(__name__)

Switch = Callable[[Index], None]
"""Told of the index that has just become the live one, while no sync is running; it owns it now."""

_CATCH_UPS = 3
"""Rounds after which what still changes is left to the one that nobody can disturb."""


async def reindex(
    live: Index,
    embeddings: EmbeddingModel,
    *,
    turn: AbstractAsyncContextManager[Any],
    switch: Switch,
    on_progress: Callable[[Progress], None] | None = None,
) -> SyncReport | None:
    """Builds the index under another model and makes it the live one; None: it is made with it.

    ``turn`` is entered for the last steps and keeps this process's syncs of the live index away.

    Raises:
        StoreLocked: a reindex is under way.
        PathError: a root is not there.
        ReindexRefused: the new index lacks something; the live one stays.
        EmbeddingsUnavailable, VectorStoreUnavailable: the backend stayed away through all
            retries. The next reindex goes on where this one was.
    """
    async with _alone(live), contextlib.AsyncExitStack() as undo:
        fingerprint = await embeddings.fingerprint()
        made = await live.store.ask(_require_replaceable, live.store.alias)
        if is_made_with(made, fingerprint):
            await _remove_all(live, await live.store.ask(shadows, live.store.alias))
            return None
        await _find_lost(live)
        shadow = await _shadow(live, embeddings, fingerprint)
        undo.push_async_callback(shadow.manifest.aclose)
        report = await _bring(live, shadow, on_progress)
        for _ in range(_CATCH_UPS):
            if not _changed(await _bring(live, shadow)):
                break
        async with turn, live.manifest.exclusive():
            await _bring(live, shadow)
            await inspect(live, shadow)
            await _go_live(shadow, switch, undo)
        await _remove_all(live, await live.store.ask(shadows, live.store.alias))
        return report


async def rollback(
    live: Index,
    models: list[EmbeddingModel],
    *,
    turn: AbstractAsyncContextManager[Any],
    switch: Switch,
) -> None:
    """Makes the index that was live before the live one again; it keeps the other for as long.

    It is as it was when it was replaced: the next sync brings it in line with the disk.

    Raises:
        UsageError: none is kept.
        FingerprintMismatch: it was made with none of the models that answer.
    """
    async with _alone(live), contextlib.AsyncExitStack() as undo:
        previous = await live.store.ask(previous_collection, live.store.alias)
        if previous is None:
            raise UsageError(
                f"There is nothing to go back to: no index is kept beside {live.store.alias!r}. "
                "One is kept from each `tandem reindex` to the next, unless it is pruned."
            )
        index = await _opened(live, previous, await _model_of(live, previous, models))
        undo.push_async_callback(index.manifest.aclose)
        async with turn, live.manifest.exclusive():
            await index.store.require_fit()
            await _go_live(index, switch, undo)


async def prune(live: Index) -> list[str]:
    """Removes every collection but the live one, the one kept for a rollback included.

    Returns their names. What cannot be removed is logged, and tried again by the next reindex.

    Raises:
        StoreLocked: a reindex is under way.
    """
    async with _alone(live):
        unwanted = await live.store.ask(shadows, live.store.alias)
        previous = await live.store.ask(previous_collection, live.store.alias)
        return await _remove_all(live, [*unwanted, *([previous] if previous else [])])


# the steps


async def _shadow(
    live: Index, embeddings: EmbeddingModel, fingerprint: EmbeddingFingerprint
) -> Index:
    """The shadow to build: one that a killed build with this model has left, else a new one.

    What could not be read then is tried again: it may be why the shadow was refused.
    """
    shadow = await _opened(live, await _begun(live, fingerprint), embeddings)
    await shadow.store.prepare()
    failed = [file for file in await shadow.manifest.documents() if file.state == "failed"]
    await shadow.manifest.intend([(file, ()) for file in failed])
    return shadow


async def _opened(live: Index, collection: str, embeddings: EmbeddingModel) -> Index:
    """A collection beside the live one, with its manifest, which is to be closed."""
    store = live.store.beside(collection, embeddings)
    manifest = await Manifest.open(live.manifest.data_dir, collection)
    await hide_unsettled(manifest, store.visibility)
    return replace(live, store=store, embeddings=embeddings, manifest=manifest)


async def _begun(live: Index, fingerprint: EmbeddingFingerprint) -> str:
    store, found = live.store, ""
    for other in await store.ask(shadows, store.alias):
        if not found and is_made_with(await store.ask(made_with, other), fingerprint):
            found = other
        else:
            await _remove_all(live, [other])
    if found:
        return found
    name = await store.ask(next_name, store.alias)
    await store.ask(note_name, store.alias, name)
    await asyncio.to_thread(discard_manifest, live.manifest.data_dir, name)
    return name


async def _bring(
    live: Index, shadow: Index, on_progress: Callable[[Progress], None] | None = None
) -> SyncReport:
    """The shadow in line with what the live index covers now; roots keep their names in it."""
    known = {root.path for root in await shadow.manifest.roots()}
    for root in await live.manifest.roots():
        if root.path not in known:
            await shadow.manifest.keep_root(root)
    return await shadow.sync(await covered(live.manifest), on_progress)


async def _find_lost(live: Index) -> None:
    """Where the manifest was lost, what the live index covers is read from its collection."""
    if await live.store.count() and not await live.manifest.count():
        async with live.manifest.exclusive():
            await mend(live.manifest, live.store, await live.manifest.fact("fingerprint") or "")


async def _model_of(live: Index, collection: str, models: list[EmbeddingModel]) -> EmbeddingModel:
    made = await live.store.ask(made_with, collection)
    for model in models:
        try:
            if is_made_with(made, await model.fingerprint()):
                return model
        except EmbeddingsUnavailable as exc:
            log.warning("Not asked whether it made the index: %s", exc)
    raise FingerprintMismatch(
        f"The index {collection!r} was made with {model_in_words(made)}, which is not the "
        "configured embedding model, or does not answer. Set TANDEM_EMBEDDINGS__PROVIDER and "
        "TANDEM_EMBEDDINGS__MODEL to that model and run `tandem reindex --rollback` again. "
        "Nothing was changed."
    )


async def _go_live(index: Index, switch: Switch, undo: contextlib.AsyncExitStack) -> None:
    """Flips the alias and tells the process, which a cancelled caller cannot come between."""

    async def flip() -> None:
        await index.store.go_live()
        undo.pop_all()  # what is live is not closed here
        switch(index)

    task = asyncio.create_task(flip())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _remove_all(live: Index, collections: list[str]) -> list[str]:
    """The collection first: a manifest alone takes no space to speak of and misleads nobody."""
    removed = []
    for collection in collections:
        try:
            await live.store.ask(_delete, collection)
            await asyncio.to_thread(discard_manifest, live.manifest.data_dir, collection)
            removed.append(collection)
        except TandemError as exc:
            log.warning("The collection %s is left over: %s", collection, exc)
    return removed


def _alone(live: Index) -> AbstractAsyncContextManager[None]:
    path = live.manifest.data_dir / "reindex.lock"
    return ProcessLock(path, "A reindex is under way already. Wait until it is done.").hold()


def _changed(report: SyncReport) -> int:
    return report.added + report.changed + report.moved + report.deleted


def _require_replaceable(client: Client, name: str) -> dict[str, Any] | None:
    """What the live collection was made with, if another can take its place."""
    live = live_collection(client, name)
    if live is None or not client.collection_exists(live):
        raise UsageError("There is no index yet: `tandem index PATH` makes one.")
    require_alias(client, name)
    return made_with(client, live)


def _delete(client: Client, collection: str) -> None:
    client.delete_collection(collection)
