"""``tandem``: the command line.

Exit codes: 0 done, 1 not found (``ask``) or some files failed (``index``), 2 wrong usage,
3 a backend does not answer, 4 the stored data do not fit, 130 interrupted, 141 whoever read the
output stopped reading.

Heavy modules are imported inside the commands: ``tandem ask`` must show its first words within
seconds of a cold start, and ``--help`` at once.
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from errors import PathError, TandemError, UnavailableError, UsageError
from startup import interruptible, lean_imports

if TYPE_CHECKING:
    from backends.running_server import RunningServer
    from settings import Settings
    from terminal import SyncDisplay

_INTERRUPTED = 130
_NO_READER = 141
"""What a shell reports of programs that SIGPIPE ends."""
_PACKAGES = ("tandem", "api", "backends", "graph", "indexer", "nodes")
"""Whose log messages are ours."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; a user's mistake is a message, not a traceback."""
    try:
        options = _parser().parse_args(arguments)
        settings = _settings(options)
        _set_up_output(settings.log_level)
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


def _set_up_output(log_level: str) -> None:
    """Our own messages from the level on, libraries' warnings; no letter that cannot be shown."""
    level = log_level.upper()
    logging.basicConfig(
        level=level if level in ("DEBUG", "ERROR") else "WARNING",
        format="%(levelname)s %(message)s",
    )
    for name in _PACKAGES:
        logging.getLogger(name).setLevel(level)
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

    serve = commands.add_parser("serve", help="run the service: page, playground, API")
    serve.add_argument("--host", help="the address to listen on (TANDEM_HOST)")
    serve.add_argument("--port", type=int, help="the port to listen on (TANDEM_PORT)")
    serve.add_argument(
        "--phoenix", action="store_true", help="start Arize Phoenix beside the service"
    )
    serve.set_defaults(command=_serve)

    index = commands.add_parser("index", help="bring the index in line with files and folders")
    index.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    index.add_argument("--json", action="store_true", help="print the report as JSON")
    index.add_argument(
        "--wait", action="store_true", help="wait for a backend that does not answer, without end"
    )
    index.set_defaults(command=_index)

    watch = commands.add_parser("watch", help="keep the index in line with folders, until Ctrl-C")
    watch.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    watch.add_argument("--json", action="store_true", help="print every event as a line of JSON")
    watch.set_defaults(command=_watch)

    ask = commands.add_parser("ask", help="answer a question from the indexed documents")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument("--json", action="store_true", help="print the whole result as JSON")
    ask.set_defaults(command=_ask)

    status = commands.add_parser("status", help="what is indexed, what failed, who answers")
    status.add_argument("--json", action="store_true", help="print everything as JSON")
    status.set_defaults(command=_status)
    return parser


def _settings(options: argparse.Namespace) -> "Settings":
    """The settings, with what was said on the command line in their place."""
    with lean_imports():
        from settings import load_settings

        settings = load_settings()
    said = {
        name: value
        for name in ("data_dir", "host", "port")
        if (value := getattr(options, name, None)) is not None
    }
    if not 1 <= said.get("port", 1) <= 65535:
        raise UsageError(f"--port {said['port']}: a port is a number from 1 to 65535.")
    return settings.model_copy(update=said)


async def _serve(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible(), lean_imports():
        from server import serve

    await serve(settings, with_phoenix=options.phoenix)
    return 0


async def _ask(options: argparse.Namespace, settings: "Settings") -> int:
    from graph.question import check_question

    question = check_question(options.question)
    server = _server(settings)
    events = server.ask(question) if server else _ask_here(settings, question)
    output: dict[str, Any] = {}
    streamed = False
    async with contextlib.aclosing(events):
        async for name, data in events:
            if name == "done":
                output = data
            elif name == "token" and not options.json:
                streamed = True
                print(data["text"], end="", flush=True)
    if options.json:
        print(json.dumps(output, ensure_ascii=False, indent=2))
    else:
        print("" if streamed else output["answer"])
        _print_sources(output)
    return 1 if output["status"] == "not_found" else 0


async def _ask_here(settings: "Settings", question: str) -> AsyncGenerator[tuple[str, Any]]:
    """Answer in this process, over the embedded store or a Qdrant server."""
    with interruptible(), lean_imports():
        from backends.embeddings import create_embeddings

        # Loading the model needs no interpreter lock: it goes on while the rest is imported.
        embeddings = create_embeddings(settings.embeddings, cache_dir=settings.data_dir / "models")
        embeddings.start_loading()

        from backends.connections import connect
        from backends.tracing import start_tracing
        from graph.builder import build_graph
        from graph.context import RagContext
        from graph.events import run_events
        from indexer.freshness import unwatched_freshness
        from indexer.manifest import Manifest

        backends = connect(settings, embeddings)
        manifest = Manifest(settings.data_dir)
        graph = build_graph(backends, partial(unwatched_freshness, manifest))
    tracing = start_tracing(settings.phoenix) if _listens(settings.phoenix.endpoint) else None
    try:
        await backends.store.open()
        async for event in run_events(graph, question, RagContext.of(settings)):
            yield event["event"], event["data"]
    finally:
        if tracing is not None:
            await tracing.aclose()
        await manifest.aclose()
        await backends.aclose()


def _listens(endpoint: str) -> bool:
    """Whether somebody is there: a command does not record traces for nobody."""
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), 0.2):
            return True
    except OSError:
        return False


def _print_sources(output: dict[str, Any]) -> None:
    from graph.citation import place
    from graph.freshness import in_words

    for citation in {c["marker"]: c for c in output["citations"]}.values():
        print(f"  [{citation['marker']}] {place(citation)}")
    for note in (output["notice"], in_words(output["index"])):
        if note:
            print(f"  {note}")


async def _index(options: argparse.Namespace, settings: "Settings") -> int:
    from terminal import SyncDisplay

    paths = [_existing(path) for path in options.paths]
    server = _server(settings)
    with SyncDisplay(quiet=options.json) as display:
        if server is None:
            report = await _index_here(settings, paths, display, wait=options.wait)
        else:
            report = await _index_through(server, paths, display, wait=options.wait)
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

    async with open_service(settings, for_questions=False) as service:
        report = await service.indexing.run(
            paths, lambda progress: display.update(asdict(progress)), wait=wait
        )
    return asdict(report)


async def _index_through(
    server: "RunningServer", paths: list[Path], display: "SyncDisplay", *, wait: bool
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    async for name, data in server.sync(paths, wait=wait):
        if name == "progress":
            display.update(data)
        else:
            report = data
    return report


async def _watch(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible():
        paths = [path.expanduser().absolute() for path in options.paths]
        server = _server(settings)
    events = server.watch(paths) if server else _watch_here(settings, paths)
    watching = asyncio.create_task(_print_events(events, as_json=options.json))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # being told to end is how this ends
        await watching
    return 0


async def _print_events(
    events: AsyncGenerator[tuple[str, dict[str, Any]]], *, as_json: bool
) -> None:
    """A line for each event. Raises UnavailableError when there will be no more."""
    from terminal import print_event

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

    logging.getLogger("indexer.following").setLevel("CRITICAL")  # its news are the events
    async with (
        open_service(settings, for_questions=False) as service,
        background("follow", service.follower.run()),
    ):
        service.backends.embeddings.start_loading()
        async for event in service.follow(paths):
            yield event


async def _status(options: argparse.Namespace, settings: "Settings") -> int:
    from terminal import print_status

    server = _server(settings)
    status = await (server.status() if server else _status_here(settings))
    if options.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        print_status(status, server.url if server else None)
    return 0 if status["ready"] else 3


async def _status_here(settings: "Settings") -> dict[str, Any]:
    with interruptible():
        from api.documents import index_status
        from api.health import readiness
        from api.service import open_service

    async with open_service(settings) as service:
        return {**await index_status(service), **await readiness(service)}


def _server(settings: "Settings") -> "RunningServer | None":
    """The running server, if any; without its file nothing needs to be imported."""
    if not (settings.data_dir / "server.json").exists():
        return None
    from backends.running_server import find_server

    return find_server(settings.data_dir)
