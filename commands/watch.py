"""``tandem watch``: the index kept in line with folders, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.running import running_server
from commands.startup import interruptible
from errors import UnavailableError

if TYPE_CHECKING:
    from settings import Settings


def add_options(watch: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    watch.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    watch.add_argument("--json", action="store_true", help="print every event as a line of JSON")


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible():
        paths = [_absolute(path) for path in options.paths]
        server = running_server(settings)
    events = server.watch(paths) if server else _watch_here(settings, paths)
    watching = asyncio.create_task(_print_events(events, as_json=options.json))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # being told to end is how this ends
        await watching
    return 0


def _absolute(path: Path) -> Path:
    """As the service has to be told it; what is nobody's home stays as it is, and is waited for."""
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - Path's raises there


async def _print_events(
    events: AsyncGenerator[tuple[str, dict[str, Any]]], *, as_json: bool
) -> None:
    """A line for each event. Raises UnavailableError when there will be no more."""
    from commands.terminal import print_event

    async with contextlib.aclosing(events):
        async for name, data in events:
            if name == "done":
                raise UnavailableError("The server has stopped: nothing is watched any more.")
            if as_json:
                print(json.dumps({"event": name, **data}, ensure_ascii=False), flush=True)
            else:
                print_event(name, data)


async def _watch_here(
    settings: "Settings", paths: list[Path]
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    from api.service import background, open_service
    from indexer.patience import Backoff

    logging.getLogger("indexer.following").setLevel("CRITICAL")  # its news are the events
    async with (
        open_service(settings, delays_s=Backoff()) as service,
        background("follow", service.follower.run()),
    ):
        service.backends.embeddings.start_loading()
        async for event in service.follow(paths):
            yield event
