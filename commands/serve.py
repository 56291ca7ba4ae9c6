"""``tandem serve``: the service."""

import argparse
from typing import TYPE_CHECKING

from commands.startup import interruptible, lean_imports

if TYPE_CHECKING:
    from settings import Settings


def add_options(serve: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    serve.add_argument("--host", help="the address to listen on (TANDEM_HOST)")
    serve.add_argument("--port", type=int, help="the port to listen on (TANDEM_PORT)")
    serve.add_argument(
        "--phoenix", action="store_true", help="start Arize Phoenix beside the service"
    )


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible(), lean_imports():
        from server import serve

    await serve(settings, with_phoenix=options.phoenix)
    return 0
