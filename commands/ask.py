"""``tandem ask``: a cited answer on the terminal."""

import argparse
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from commands.running import running_server
from commands.startup import interruptible, lean_imports
from errors import UsageError

if TYPE_CHECKING:
    from backends.filters import SearchFilters
    from graph.builder import RagGraph
    from settings import Settings


def add_options(ask: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument(
        "--thread", metavar="NAME", help="continue a conversation, in which it may refer back"
    )
    ask.add_argument("--json", action="store_true", help="print the whole result as JSON")
    _add_filters(ask)


async def run(options: argparse.Namespace, settings: "Settings") -> int:
    from graph.question import check_question, check_thread, owned

    question = check_question(options.question)
    filters = _filters(options)
    server = running_server(settings)
    thread = options.thread and check_thread(options.thread)
    if server is not None and options.tenant is not None:
        raise UsageError(
            f"--tenant: the server at {server.url} answers for its own tenant. Leave the option "
            "out, or stop the server."
        )
    if server is not None:
        events = server.ask(question, filters=filters.given() if filters else None, thread=thread)
    else:
        kept_as = owned(thread, settings.tenant) if thread else None
        events = _ask_here(settings, question, filters, kept_as)
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
        from backends.tracing import listens, start_tracing
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
        if listens(settings.phoenix.endpoint):
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


def _print_sources(output: dict[str, Any]) -> None:
    from graph.citation import place
    from graph.freshness import in_words

    for citation in {c["marker"]: c for c in output["citations"]}.values():
        print(f"  [{citation['marker']}] {place(citation)}")
    for note in (output["notice"], in_words(output["index"])):
        if note:
            print(f"  {note}")


def _add_filters(ask: argparse.ArgumentParser) -> None:
    """Which documents an answer may come from. Each may be given several times but the last two."""
    more: dict[str, Any] = {"action": "append"}
    ask.add_argument("--source", **more, help="only this document, as sources are shown")
    ask.add_argument("--path", **more, help="only documents in this folder: docs/guide")
    ask.add_argument("--type", **more, help="only this format: markdown, text, pdf, docx, code ...")
    ask.add_argument("--since", help="only documents changed since: 2026-03-01 (UTC)")
    ask.add_argument("--tenant", help="whose documents (TANDEM_TENANT)")
