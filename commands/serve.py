"""``tandem serve``: the service."""

import argparse
from typing import TYPE_CHECKING

from commands.startup import interruptible, lean_imports
from errors import UsageError

if TYPE_CHECKING:
    from settings import Settings


def add_options(serve: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    serve.add_argument("--host", help="the address to listen on (TANDEM_HOST)")
    serve.add_argument("--port", type=int, help="the port to listen on (TANDEM_PORT)")
    serve.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; for now only 1 is possible"
    )
    serve.add_argument(
        "--phoenix", action="store_true", help="start Arize Phoenix beside the service"
    )


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    if options.workers != 1:
        raise UsageError(
            f"--workers {options.workers}: Tandem serves with one process. The watching of "
            "folders, the manifest and the embedded store belong to one process, and a document "
            "is replaced in a step that only its own searches see whole. One process keeps up "
            "with one server machine; leave --workers out."
        )
    with interruptible(), lean_imports():
        from api.http.log_writer import written_aside
        from server import serve

    with written_aside():
        await serve(settings, with_phoenix=options.phoenix)
    return 0
