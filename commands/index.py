"""``tandem index``: the index brought in line with files and folders, once."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.running import followed, running_server
from commands.startup import interruptible
from errors import PathError

if TYPE_CHECKING:
    from commands.terminal import SyncDisplay
    from settings import Settings


def add_options(index: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    index.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    index.add_argument("--json", action="store_true", help="print the report as JSON")
    index.add_argument(
        "--wait", action="store_true", help="wait for a backend that does not answer, without end"
    )


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    from commands.terminal import SyncDisplay

    paths = [_existing(path) for path in options.paths]
    server = running_server(settings)
    with SyncDisplay(quiet=options.json) as display:
        if server is None:
            report = await _index_here(settings, paths, display, wait=options.wait)
        else:
            report = await followed(server.sync(paths, wait=options.wait), display)
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        display.print_report(report)
    return 1 if report["failed"] else 0


def _existing(path: Path) -> Path:
    """The path as the service, whose current folder is another, has to be told it.

    Raises:
        PathError: it is not there.
    """
    try:
        path = path.expanduser().absolute()
        path.stat()
    except FileNotFoundError as exc:
        raise PathError(
            f"{path} does not exist. Check the spelling, and that its disk is mounted."
        ) from exc
    except (OSError, RuntimeError) as exc:  # such as a name too long, or the home of nobody
        reason = getattr(exc, "strerror", None) or str(exc).rstrip(".")
        raise PathError(f"{str(path)[:200]} cannot be indexed: {reason}.") from exc
    return path


async def _index_here(
    settings: "Settings", paths: list[Path], display: "SyncDisplay", *, wait: bool
) -> dict[str, Any]:
    with interruptible():
        from api.service import open_service
        from indexer.patience import Backoff
        from indexer.sync import RETRY_DELAYS_S

    delays_s = Backoff() if wait else RETRY_DELAYS_S
    async with open_service(settings, delays_s=delays_s) as service:
        report = await service.indexing.run(
            paths, lambda progress: display.update(asdict(progress)), wait=wait
        )
    return asdict(report)
