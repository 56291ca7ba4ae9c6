"""``tandem reindex``: the index built anew under another embedding model, and back."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands.running import followed, running_server
from commands.startup import interruptible

if TYPE_CHECKING:
    from commands.terminal import SyncDisplay
    from settings import EmbeddingSettings, Settings


def add_options(reindex: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    instead = reindex.add_mutually_exclusive_group()
    instead.add_argument(
        "--rollback", action="store_true", help="return to the index before the last reindex"
    )
    instead.add_argument(
        "--prune", action="store_true", help="remove the index that is kept for a rollback"
    )
    reindex.add_argument("--json", action="store_true", help="print the report as JSON")


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    from commands.terminal import SyncDisplay

    server = running_server(settings)
    if options.prune:
        removed = await (server.prune() if server else _prune_here(settings))
        print(
            json.dumps(removed) if options.json else f"removed: {', '.join(removed) or 'nothing'}"
        )
        return 0
    with SyncDisplay(quiet=options.json) as display:
        if server is None:
            report = await _reindex_here(settings, display, back=options.rollback)
        else:
            events = server.reindex(_embeddings_said(settings), back=options.rollback)
            report = await followed(events, display)
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    elif report is None:
        print(
            "The index is made with the configured embedding model already: nothing to do. To "
            "change it, set TANDEM_EMBEDDINGS__PROVIDER and TANDEM_EMBEDDINGS__MODEL."
        )
    else:
        display.print_report(report)
        print("Questions are answered from it now; the index before is kept for --rollback.")
    return 1 if report and report["failed"] else 0


def _embeddings_said(settings: "Settings") -> "EmbeddingSettings | None":
    """The embedding settings, if any are made here: a service must not be told mere defaults."""
    said = {"provider", "base_url", "model"} & settings.embeddings.model_fields_set
    return settings.embeddings if said else None


async def _reindex_here(
    settings: "Settings", display: "SyncDisplay", *, back: bool
) -> dict[str, Any] | None:
    with interruptible():
        from api.reindex import Reindexing
        from api.service import open_service

    async with open_service(settings) as service:
        reindexing = Reindexing(service)
        run = reindexing.rollback if back else reindexing.reindex
        report = await run(settings.embeddings, lambda p: display.update(asdict(p)))
        return asdict(report) if report else None


async def _prune_here(settings: "Settings") -> list[str]:
    with interruptible():
        from api.reindex import Reindexing
        from api.service import open_service

    async with open_service(settings) as service:
        return await Reindexing(service).prune()
