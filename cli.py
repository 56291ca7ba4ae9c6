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
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from errors import PathError, TandemError, UnavailableError, UsageError
from startup import interruptible, lean_imports

if TYPE_CHECKING:
    from backends.filters import SearchFilters
    from backends.running_server import RunningServer
    from graph.builder import RagGraph
    from settings import EmbeddingSettings, Settings
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
    ask.add_argument(
        "--thread", metavar="NAME", help="continue a conversation, in which it may refer back"
    )
    ask.add_argument("--json", action="store_true", help="print the whole result as JSON")
    _add_filters(ask)
    ask.set_defaults(command=_ask)

    reindex = commands.add_parser(
        "reindex", help="build the index anew with the configured embedding model, then switch"
    )
    instead = reindex.add_mutually_exclusive_group()
    instead.add_argument(
        "--rollback", action="store_true", help="return to the index before the last reindex"
    )
    instead.add_argument(
        "--prune", action="store_true", help="remove the index that is kept for a rollback"
    )
    reindex.add_argument("--json", action="store_true", help="print the report as JSON")
    reindex.set_defaults(command=_reindex)

    status = commands.add_parser("status", help="what is indexed, what failed, who answers")
    status.add_argument("--json", action="store_true", help="print everything as JSON")
    status.set_defaults(command=_status)
    return parser


def _add_filters(ask: argparse.ArgumentParser) -> None:
    """Which documents an answer may come from. Each may be given several times but the last two."""
    more: dict[str, Any] = {"action": "append"}
    ask.add_argument("--source", **more, help="only this document, as sources are shown")
    ask.add_argument("--path", **more, help="only documents in this folder: docs/guide")
    ask.add_argument("--type", **more, help="only this format: markdown, text, pdf, docx, code ...")
    ask.add_argument("--since", help="only documents changed since: 2026-03-01 (UTC)")
    ask.add_argument("--tenant", help="whose documents (TANDEM_TENANT)")


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


async def _serve(options: argparse.Namespace, settings: "Settings") -> int:
    with interruptible(), lean_imports():
        from server import serve

    await serve(settings, with_phoenix=options.phoenix)
    return 0


async def _ask(options: argparse.Namespace, settings: "Settings") -> int:
    from graph.question import check_question, check_thread

    question = check_question(options.question)
    filters = _filters(options)
    server = _server(settings)
    thread = options.thread and check_thread(options.thread)
    if server is not None and options.tenant is not None:
        raise UsageError(
            f"--tenant: the server at {server.url} answers for its own tenant. Leave the option "
            "out, or stop the server."
        )
    if server is not None:
        events = server.ask(question, filters=filters.given() if filters else None, thread=thread)
    else:
        events = _ask_here(settings, question, filters, thread)
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


def _filters(options: argparse.Namespace) -> "SearchFilters | None":
    """What was given of the filters; reading them is put off until some were."""
    names = ("source", "path", "type", "since")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if not given:
        return None
    from backends.filters import read_filters

    return read_filters(given)


async def _ask_here(
    settings: "Settings",
    question: str,
    filters: "SearchFilters | None",
    thread: str | None,
) -> AsyncGenerator[tuple[str, Any]]:
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
        from indexer.replacing import hide_unsettled

        backends = connect(settings, embeddings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(backends.aclose)
        await backends.store.open()
        manifest = Manifest(settings.data_dir, backends.store.collection_name)
        stack.push_async_callback(manifest.aclose)
        await hide_unsettled(manifest, backends.store.visibility)
        if _listens(settings.phoenix.endpoint):
            stack.push_async_callback(start_tracing(settings.phoenix).aclose)
        graph = build_graph(backends, partial(unwatched_freshness, manifest))
        context = RagContext.of(settings).model_copy(update={"filters": filters})
        async with _turn(settings, graph, thread) as graph:
            async for event in run_events(graph, question, context, thread=thread):
                yield event["event"], event["data"]


@contextlib.asynccontextmanager
async def _turn(
    settings: "Settings", graph: "RagGraph", thread: str | None
) -> AsyncIterator["RagGraph"]:
    """The graph with a conversation's memory, where there is one to continue."""
    if thread is None:
        yield graph
        return
    from backends.conversations.threads import open_threads

    async with open_threads(settings) as threads, threads.turn(thread):
        yield graph.copy({"checkpointer": threads.checkpointer})


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
            report = await _followed(server.sync(paths, wait=options.wait), display)
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
    from indexer.patience import Backoff

    logging.getLogger("indexer.following").setLevel("CRITICAL")  # its news are the events
    async with (
        open_service(settings, delays_s=Backoff()) as service,
        background("follow", service.follower.run()),
    ):
        service.backends.embeddings.start_loading()
        async for event in service.follow(paths):
            yield event


async def _followed(events: AsyncGenerator[tuple[str, Any]], display: "SyncDisplay") -> Any:
    """The report at the end of a sync in the server, whose progress is shown meanwhile."""
    report = None
    async with contextlib.aclosing(events):
        async for name, data in events:
            if name == "progress":
                display.update(data)
            else:
                report = data
    return report


async def _reindex(options: argparse.Namespace, settings: "Settings") -> int:
    from terminal import SyncDisplay

    server = _server(settings)
    if options.prune:
        removed = await (server.prune() if server else _prune_here(settings))
        print(
            json.dumps(removed) if options.json else f"removed: {', '.join(removed) or 'nothing'}"
        )
        return 0
    with SyncDisplay(quiet=options.json) as display:
        if server is None:
            report = await _reindex_here(settings, display, back=options.rollback)
        else:
            events = server.reindex(_embeddings_said(settings), back=options.rollback)
            report = await _followed(events, display)
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    elif report is None:
        print(
            "The index is made with the configured embedding model already: nothing to do. To "
            "change it, set TANDEM_EMBEDDINGS__PROVIDER and TANDEM_EMBEDDINGS__MODEL."
        )
    else:
        display.print_report(report)
        print("Questions are answered from it now; the index before is kept for --rollback.")
    return 1 if report and report["failed"] else 0


def _embeddings_said(settings: "Settings") -> "EmbeddingSettings | None":
    """The embedding settings, if any are made here: a service must not be told mere defaults."""
    said = {"provider", "base_url", "model"} & settings.embeddings.model_fields_set
    return settings.embeddings if said else None


async def _reindex_here(
    settings: "Settings", display: "SyncDisplay", *, back: bool
) -> dict[str, Any] | None:
    with interruptible():
        from api.reindex import Reindexing
        from api.service import open_service

    async with open_service(settings) as service:
        reindexing = Reindexing(service)
        run = reindexing.rollback if back else reindexing.reindex
        report = await run(settings.embeddings, lambda p: display.update(asdict(p)))
        return asdict(report) if report else None


async def _prune_here(settings: "Settings") -> list[str]:
    with interruptible():
        from api.reindex import Reindexing
        from api.service import open_service

    async with open_service(settings) as service:
        return await Reindexing(service).prune()


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
