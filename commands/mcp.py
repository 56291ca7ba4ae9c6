"""``tandem mcp``: the MCP bridge over stdio."""

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from commands.startup import interruptible, lean_imports
from errors import PathError, UsageError

if TYPE_CHECKING:
    from mcp_bridge.bridge import OpenLibrary
    from settings import Settings


def add_options(mcp: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    mcp.add_argument("--url", help="a service elsewhere, such as https://tandem.example.org")
    mcp.add_argument(
        "--key-file", type=Path, metavar="FILE", help="holds the service's API key (or: TANDEM_KEY)"
    )


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible(), lean_imports():
        from api.http.log_writer import written_aside
        from mcp_bridge.bridge import create_bridge
        from mcp_bridge.stdio import serve_stdio

    async with contextlib.AsyncExitStack() as closing:
        closing.enter_context(written_aside())
        open_library = await _elsewhere(options, settings) or await _at_hand(settings, closing)
        await serve_stdio(create_bridge(open_library), closing)
    return 0


async def _elsewhere(options: argparse.Namespace, settings: "Settings") -> "OpenLibrary | None":
    """The service of ``--url``, if it is given."""
    if options.url is None:
        if options.key_file is not None:
            raise UsageError("--key-file is of use only together with --url.")
        return None
    from backends.running_server import RunningServer

    if not options.url.startswith(("http://", "https://")):
        raise UsageError(f"--url {options.url!r} is no address like https://tandem.example.org.")
    key = _key(options.key_file, settings)
    server = RunningServer(options.url.rstrip("/"), key, is_elsewhere=True)
    return lambda _: contextlib.nullcontext(server)


def _key(file: Path | None, settings: "Settings") -> str:
    """The API key; never an option, which other users of the machine could read."""
    if file is None:
        return settings.key.get_secret_value() if settings.key else ""
    try:
        return file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as exc:
        raise PathError(f"The key file {file} cannot be read: {exc}.") from exc


async def _at_hand(settings: "Settings", closing: contextlib.AsyncExitStack) -> "OpenLibrary":
    """This machine's service or store."""
    import asyncio

    from mcp_bridge.at_hand import AtHand

    here = AtHand(settings)
    closing.push_async_callback(here.aclose)
    ready = asyncio.create_task(here.get_ready())
    closing.callback(ready.cancel)
    return here.lent
