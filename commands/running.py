"""The commands and the server that may be running on their data folder: they go through it."""

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.running_server import RunningServer
    from commands.terminal import SyncDisplay
    from settings import Settings


def running_server(settings: "Settings") -> "RunningServer | None":
    """The running server, if any; without its file nothing needs to be imported."""
    if not (settings.data_dir / "server.json").exists():
        return None
    from backends.running_server import find_server

    return find_server(settings.data_dir)


async def followed(events: AsyncGenerator[tuple[str, Any]], display: "SyncDisplay") -> Any:
    """The report at the end of a sync in the server, whose progress is shown meanwhile."""
    report = None
    async with contextlib.aclosing(events):
        async for name, data in events:
            if name == "progress":
                display.update(data)
            else:
                report = data
    return report
