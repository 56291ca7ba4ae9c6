"""``/healthz``: the process is alive. ``/readyz``: it can answer, and what each backend says."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse

from api.security import caller_of
from api.service import Service
from backends.connections import Backends
from backends.language_model import LanguageModel
from errors import Forbidden, TandemError, Unauthenticated

_PROBE_TIMEOUT_S = 3.0


def alive_router() -> APIRouter:
    """The router of ``/healthz``."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive: answers as long as the event loop runs."""
        return {"status": "ok"}

    return router


def health_router(service: Service) -> APIRouter:
    """The router of ``/readyz``."""
    router = APIRouter(tags=["health"])

    @router.get("/readyz")
    async def readyz(authorization: Annotated[str, Header()] = "") -> JSONResponse:
        """Ready when questions can be answered; 503 otherwise, with the reason per backend.

        Whoever may not read is told no more than whether it is ready, which probes need to know.
        """
        report = await readiness(service)
        if service.stopping.is_set():  # so that whoever spreads requests sends no more here
            report["ready"] = False
        status = 200 if report["ready"] else 503
        try:
            caller_of(service, authorization, "read")
        except (Unauthenticated, Forbidden):
            report = {"ready": report["ready"]}
        return JSONResponse(report, status)

    return router


async def readiness(service: Service) -> dict[str, object]:
    """The state of every backend. The store alone decides: the others have a fallback."""
    with contextlib.suppress(TandemError):  # told by the probe of the store
        await service.keep_current()
    backends = service.backends
    probes = {"vector_store": _vector_store(backends), "embeddings": _embeddings(backends)}
    if backends.language_model is not None:
        probes["language_model"] = _language_model(backends.language_model)
    states = await asyncio.gather(*map(_probe, probes.values()))
    named = dict(zip(probes, states, strict=True))
    report = {"ready": named["vector_store"]["ok"], "backends": named}
    if service.others is not None:
        report["workers"] = service.others.state()
    return report


async def _vector_store(backends: Backends) -> dict[str, object]:
    store = backends.store
    return {
        "kind": "Qdrant Edge" if backends.settings.qdrant.url is None else "Qdrant",
        "collection": store.alias,
        "points": await store.count(),
    }


async def _embeddings(backends: Backends) -> dict[str, object]:
    """Embeddings are of use only where they fit the index."""
    vector = await backends.embeddings.aembed_query("ready?")
    await backends.store.require_fit()
    chosen = backends.settings.embeddings
    return {
        "kind": chosen.provider,
        "model": backends.embeddings.name,
        "dimension": len(vector),
    }


async def _language_model(model: LanguageModel) -> dict[str, object]:
    served = await model.served()
    return {
        "model": served.id,
        "root": served.root,
        "context_tokens": served.max_tokens,
        "cache_usage": await model.cache_usage(),
    }


async def _probe(probe: Awaitable[dict[str, object]]) -> dict[str, object]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            told = await probe
    except TandemError as exc:
        return {"ok": False, "reason": str(exc)}
    except TimeoutError:
        return {"ok": False, "reason": f"no answer within {_PROBE_TIMEOUT_S:.0f} s"}
    return {"ok": True, "latency_ms": round((time.perf_counter() - started) * 1000, 1), **told}
