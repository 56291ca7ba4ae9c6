"""The service: assembles ``api`` into one application and runs it."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from api.answering import Answering
from api.ask import ask_router
from api.ask_events import event_schemas
from api.documents import documents_router
from api.feedback import feedback_router
from api.health import alive_router, health_router
from api.http.bodies import CheckedBodies
from api.http.continuing import ContinuedTraces
from api.http.errors import BrokenOffStreams, add_error_handlers
from api.http.observing import Observed
from api.http.openai_errors import OpenAIErrors
from api.http.origins import LOOPBACK, KnownOrigins, SecurityHeaders
from api.http.serving import BACKLOG, Server
from api.http.strangers import StrangersRefused
from api.keys import KeyRing
from api.metrics import Metrics, metrics_router
from api.openai_compatible import openai_router
from api.page import WORTH_ASKING, page_router
from api.playground import add_playground
from api.reindex import reindex_router
from api.search import search_router
from api.security import caller_of
from api.service import Service, keeping_up, open_service
from api.threads import threads_router
from api.workers.channel import Channel
from api.workers.crew import Crew
from api.workers.forwarding import Forwarding, private_socket
from api.workers.measuring import written
from api.workers.worker import open_worker
from backends.phoenix.process import PhoenixProcess
from backends.running_server import announced
from backends.tracing import start_tracing
from errors import EmbeddingsUnavailable, SettingsError, UsageError
from mcp_bridge.endpoint import McpEndpoint
from settings import Settings

log = logging.getLogger("tandem")

_STARTED_TOGETHER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Waits for a Qdrant server that is started together with the service, and takes longer."""
_COLLECT_AFTER = 700, 10, 300
"""New objects after which the youngest are looked through, and how often until the older ones."""


class _Application(FastAPI):
    """With the events of streams in its OpenAPI document, where FastAPI does not look for any."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"] |= event_schemas()
        return document


def create_app(service: Service) -> FastAPI:
    """The HTTP application of a service. Opens nothing; its caller opened the service."""
    metrics = Metrics()
    app = create_worker_app(service, metrics)
    app.include_router(health_router(service))
    app.include_router(metrics_router(service, metrics))
    app.include_router(documents_router(service))
    app.include_router(reindex_router(service))
    endpoint = McpEndpoint(service, _hosts(service.settings))
    app.router.routes.append(Route("/mcp", endpoint, include_in_schema=False))
    return app


def create_worker_app(service: Answering, metrics: Metrics) -> FastAPI:
    """What is around every request, and the routes that answer: all that a worker has."""
    app = _Application(
        title="Tandem",
        summary="Agentic RAG on two machines: cited answers from your own documents.",
        version="0.1.0",
        docs_url=None,  # FastAPI's pages load their scripts from the web
        redoc_url=None,
    )
    settings = service.settings
    app.add_middleware(BrokenOffStreams)
    app.add_middleware(CheckedBodies, max_file_bytes=settings.max_file_bytes)
    app.add_middleware(StrangersRefused, known=partial(caller_of, service))
    app.add_middleware(ContinuedTraces)
    app.add_middleware(KnownOrigins, hosts=_hosts(settings), pages=settings.cors_origins)
    app.add_middleware(OpenAIErrors)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(SecurityHeaders)
    service.measured = metrics.run
    app.add_middleware(Observed, metrics=metrics)  # the last added is the outermost
    add_error_handlers(app)
    app.include_router(alive_router())
    app.include_router(ask_router(service))
    app.include_router(openai_router(service))
    app.include_router(search_router(service))
    app.include_router(threads_router(service))
    app.include_router(feedback_router(service))
    app.include_router(page_router(service))
    add_playground(app, service)
    return app


def _hosts(settings: Settings) -> list[str]:
    return [*LOOPBACK, *settings.allowed_hosts]


async def serve(settings: Settings, *, with_phoenix: bool = False, workers: int = 1) -> None:
    """Serve until interrupted: index and watch the roots in the background, answer at once.

    With more than one worker, this process keeps the index and leads others, which answer.

    Raises:
        UsageError: the address is taken or must not be used.
        TandemError: the embedded store cannot be opened, or no worker can be started.
    """
    check_address(settings)
    listener = bind(settings.host, settings.port)
    url = f"http://{_reachable(settings.host)}:{settings.port}"
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        waits_s = _STARTED_TOGETHER_S
        service = await stack.enter_async_context(open_service(settings, delays_s=waits_s))
        service.backends.embeddings.start_loading()
        phoenix = PhoenixProcess(settings.phoenix, settings.data_dir)
        stack.push_async_callback(phoenix.stop)
        tracing = start_tracing(settings.phoenix)
        stack.push_async_callback(tracing.aclose)
        app = create_app(service)
        await _warm(service)
        if with_phoenix:  # only now, so that it takes no time from the service's start
            await phoenix.start()

        def ready() -> None:
            stack.enter_context(announced(settings.data_dir, url, service.token))
            _greet(service, url, workers)

        if workers == 1:
            await stack.enter_async_context(keeping_up(service))
            ready()
            _settle()
            http = Server(app, service)
            _heed_signals(http)
            await http.serve(sockets=[listener])
            return
        private = stack.enter_context(private_socket())
        crew = Crew(service, listener, private.getsockname(), workers)
        http = Server(app, service, crew)
        _heed_signals(http)
        await stack.enter_async_context(crew.at_work(ready, http.give_up))
        await stack.enter_async_context(keeping_up(service))
        _settle()
        await http.serve(sockets=[private])


async def work(
    settings: Settings, token: str, private: str, listener: socket.socket, leader: Channel
) -> None:
    """Answer, as a worker of the process at the channel's other end, until that says to stop.

    ``private`` is where the leader listens for what only it can do.

    Raises:
        TandemError: a backend cannot be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_worker(settings, token, leader))
        service.backends.embeddings.start_loading()
        tracing = start_tracing(settings.phoenix)
        stack.push_async_callback(tracing.aclose)
        metrics = Metrics()
        app = Forwarding(create_worker_app(service, metrics), private)
        stack.push_async_callback(app.aclose)
        await _warm(service)
        # Each accepts one connection at a time: else the first to look would take all that wait.
        http = Server(app, service, backlog=1)

        def ready() -> None:
            listener.listen(BACKLOG)
            leader.tell("ready")

        http.on_start = ready
        leader.handlers["measured"] = lambda _: written(metrics.registry)
        leader.handlers["drain"] = http.drain
        leader.handlers["exit"] = lambda _: http.give_up()
        _settle()
        await http.serve(sockets=[listener])


def _heed_signals(http: Server) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, http.stop)


async def _warm(service: Answering) -> None:
    """Load the embedding model before the first question pays for it."""
    try:
        await service.backends.embeddings.aembed_query("warm up")
    except EmbeddingsUnavailable as exc:
        log.warning("%s Until then, search is by keywords alone.", exc)


def _settle() -> None:
    """Keep the collection of garbage, which stops all requests, short and seldom.

    What start-up made is left out of it. And what lives as long as a run, which is most of what a
    service makes, is not looked through again and again meanwhile: with 200 runs at once it was a
    tenth of the processor's time, in pauses of a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def check_address(settings: Settings) -> None:
    """Refuse to let strangers in.

    Raises:
        SettingsError: the host is not the loopback, no API key is needed, and nobody said that
            this is meant.
    """
    if not settings.open_to_others or settings.require_keys or settings.allow_unauthenticated:
        return
    if KeyRing(settings.data_dir).in_force:
        return
    raise SettingsError(
        f"TANDEM_HOST={settings.host} would let everyone on the network read your documents. Make "
        "an API key with `tandem keys create NAME`, after which only those with a key are let in. "
        "Or set TANDEM_ALLOW_UNAUTHENTICATED=true if the network is yours alone."
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything slow is started.

    Raises:
        UsageError: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise UsageError(
            f"Cannot listen on {host}:{port}: {exc.strerror}. Is `tandem serve` running already? "
            "Choose another port with --port or TANDEM_PORT."
        ) from exc
    listener.setblocking(False)
    return listener


def _reachable(host: str) -> str:
    """The host for an address that works on this machine, also where it stands for all of them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - told apart here
    return f"[{host}]" if ":" in host else host


def _greet(service: Service, url: str, workers: int) -> None:
    """Say where it is: to people, or to the program that gathers the log."""
    if service.settings.log_format == "json":
        log.info("Tandem is ready at %s.", url)
    else:
        print(_greeting(service, url, workers), flush=True)  # noqa: T201 - the command's output


def _greeting(service: Service, url: str, workers: int) -> str:
    settings = service.settings
    reader = service.backends.language_model
    roots = ", ".join(str(Path(root)) for root in settings.folders) or "nothing"
    watched = "" if settings.watch.mode == "off" else ", and follows what changes there"
    phoenix = settings.phoenix.endpoint or "off"
    answers = "the language model at " + settings.llm.base_urls[0] if reader else "extracts"
    if workers > 1:
        answers += f", in {workers} processes"
    questions = "\n".join(f'  tandem ask "{question}"' for question in WORTH_ASKING)
    return f"""
Tandem is ready. It answers while it indexes {roots}{watched}.

  page        {url}/
  API         {url}/openapi.json
  traces      {phoenix}
  answers by  {answers}

Three questions worth asking, on the page or in another terminal:

{questions}

Stop with Ctrl-C.
"""
