"""``tandem serve``: the service."""

import argparse
from typing import TYPE_CHECKING

from commands.startup import interruptible, lean_imports
from errors import UsageError

if TYPE_CHECKING:
    from settings import Settings

_MOST_WORKERS = 64


def add_options(serve: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    serve.add_argument("--host", help="the address to listen on (TANDEM_HOST)")
    serve.add_argument("--port", type=int, help="the port to listen on (TANDEM_PORT)")
    serve.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that answer; more than 1 needs a Qdrant server and PostgreSQL",
    )
    serve.add_argument(
        "--phoenix", action="store_true", help="start Arize Phoenix beside the service"
    )


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    _check_workers(options.workers, settings)
    with interruptible(), lean_imports():
        from api.http.log_writer import written_aside
        from server import serve

    with written_aside():
        await serve(settings, with_phoenix=options.phoenix, workers=options.workers)
    return 0


def _check_workers(workers: int, settings: "Settings") -> None:
    """Refuse what could not be shared by so many processes.

    Raises:
        UsageError: names what is missing.
    """
    if not 1 <= workers <= _MOST_WORKERS:
        raise UsageError(
            f"--workers {workers}: from 1 to {_MOST_WORKERS} processes can answer. Leave --workers "
            "out for one."
        )
    missing = []
    if workers > 1 and settings.qdrant.url is None:
        missing.append(
            "the embedded store belongs to one process: set TANDEM_QDRANT__URL to a Qdrant server"
        )
    if workers > 1 and settings.threads_url is None:
        missing.append(
            "conversations in SQLite belong to one process: set TANDEM_THREADS_URL to a PostgreSQL "
            "database"
        )
    if missing:
        raise UsageError(
            f"--workers {workers}: {', and '.join(missing)}. Or leave --workers out: one process "
            "keeps up with one server machine."
        )
