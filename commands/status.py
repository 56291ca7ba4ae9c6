"""``tandem status``: what is indexed, what failed, who answers."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from commands.running import running_server
from commands.startup import interruptible

if TYPE_CHECKING:
    from settings import Settings


def add_options(status: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    status.add_argument("--json", action="store_true", help="print everything as JSON")


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    from commands.terminal import print_status

    server = running_server(settings)
    status = await (server.status() if server else _status_here(settings))
    if options.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        print_status(status, server.url if server else None)
    return 0 if status["ready"] else 3


async def _status_here(settings: "Settings") -> dict[str, Any]:
    with interruptible():
        from api.catalogue import index_status
        from api.health import readiness
        from api.service import open_service

    async with open_service(settings) as service:
        return {**await index_status(service), **await readiness(service)}
