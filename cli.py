"""``tandem``: the command line.

Exit codes: 0 done, 1 not found (``ask``) or some files failed (``index``), 2 wrong usage,
3 a backend does not answer, 4 the stored data do not fit, 130 interrupted, 141 whoever read the
output stopped reading.

Heavy modules are imported inside the commands: ``tandem ask`` must show its first words within
seconds of a cold start, and ``--help`` at once.
"""

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from commands import ask, index, keys, mcp, reindex, serve, status, watch
from commands.startup import lean_imports
from errors import TandemError, UsageError

if TYPE_CHECKING:
    from settings import Settings

_INTERRUPTED = 130
_NO_READER = 141
"""What a shell reports of programs that SIGPIPE ends."""
_COMMANDS = (
    ("serve", serve, "run the service: page, playground, API"),
    ("index", index, "bring the index in line with files and folders"),
    ("watch", watch, "keep the index in line with folders, until Ctrl-C"),
    ("ask", ask, "answer a question from the indexed documents"),
    (
        "reindex",
        reindex,
        "build the index anew with the configured embedding model, then switch",
    ),
    ("status", status, "what is indexed, what failed, who answers"),
    ("keys", keys, "make, list and revoke API keys"),
    ("mcp", mcp, "give agents and editors the documents, over MCP on stdin and stdout"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; a user's mistake is a message, not a traceback."""
    try:
        options = _parser().parse_args(arguments)
        settings = _settings(options)
        _set_up_output(settings)
        code = asyncio.run(options.command(options, settings))
        sys.stdout.flush()
    except TandemError as exc:
        print(f"tandem: {exc}", file=sys.stderr)
        code = exc.exit_code
    except KeyboardInterrupt:
        print("tandem: interrupted", file=sys.stderr)
        code = _INTERRUPTED
    except BrokenPipeError:
        # Else the interpreter complains when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _NO_READER
    sys.exit(code)


def _set_up_output(settings: "Settings") -> None:
    """Messages as the settings have them, and no letter that cannot be shown."""
    from api.http.logs import set_up_logging

    set_up_logging(settings.log_level, settings.log_format)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tandem",
        description="Cited answers from your own documents, on your own machines.",
        epilog="Settings are environment variables, explained in .env.example. Exit codes: 0 done, "
        "1 not found or some files failed, 2 wrong usage, 3 a backend does not answer, "
        "4 the stored data do not fit, 130 interrupted, 141 nobody reads the output.",
    )
    parser.add_argument("--data-dir", type=Path, help="the data folder (TANDEM_DATA_DIR)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for name, command, does in _COMMANDS:
        added = commands.add_parser(name, help=does)
        command.add_options(added)
        added.set_defaults(command=command.run)
    return parser


def _settings(options: argparse.Namespace) -> "Settings":
    """The settings, with what was said on the command line in their place."""
    with lean_imports():
        from settings import load_settings

        settings = load_settings()
    said = {
        name: value
        for name in ("data_dir", "host", "port", "tenant")
        if (value := getattr(options, name, None)) is not None
    }
    if not 1 <= said.get("port", 1) <= 65535:
        raise UsageError(f"--port {said['port']}: a port is a number from 1 to 65535.")
    if said.get("tenant", "default") not in {"default", *settings.tenants}:
        raise UsageError(
            f"--tenant {said['tenant']}: no such tenant. Tenants are the default one and those of "
            "TANDEM_TENANTS__ACME and its like."
        )
    return settings.model_copy(update=said)
