"""Everybody who is compared, opened on one server and asked in the same way."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.agentic_asking import Ask, Plain, ask_all
from benchmarks.agentic_langgraph import agentic, corrective
from benchmarks.agentic_ours import by_hand, speculates, tandem
from benchmarks.peers import Peer

Run = Callable[[Sequence[int], int], Awaitable[dict[str, Any]]]
"""Asks the questions of these numbers, so many at a time; as ``ask_all``."""

IN_PEERS_PYTHON = ("llama_index", "haystack")
PEERS = ("langgraph_corrective", "langgraph_agentic", *IN_PEERS_PYTHON)
GRADING_PEERS = PEERS[:3]
"""Those that grade what was found. Haystack's pipeline asks for the answer at once."""


@asynccontextmanager
async def opened(
    url: str,
    model: str,
    cases: Sequence[Plain],
    answer_tokens: int,
    work: Path,
    *,
    peers: Path | None,
    known: bool = False,
) -> AsyncIterator[dict[str, Run]]:
    """All contestants by name; those of the peers only where their Python is given.

    With ``known``, for a model whose words mean nothing, each decides by what is true of the
    documents instead of by what the model says; the tutorial whose model calls a tool is left out.
    """
    os.environ["LANGSMITH_TRACING"] = "false"
    async with AsyncExitStack() as stack:
        asks: dict[str, Ask] = {}
        # A threshold of 0 keeps every document, as the scenario for such a model has it.
        base: dict[str, Any] = {"threshold": 0.0} if known else {}
        variants: dict[str, dict[str, Any]] = {
            "tandem": {},
            **({"tandem_speculate": {"speculate": True}} if speculates() else {}),
            "tandem_verified": {"verify": True},
            "tandem_pointwise": {"strategy": "pointwise"},
            "tandem_off": {"strategy": "off"},
        }
        for name, changed in variants.items():
            place = work / name
            opening = tandem(url, cases, answer_tokens, place, **{**base, **changed})
            asks[name] = await stack.enter_async_context(opening)
        hand = await stack.enter_async_context(by_hand(url, model, answer_tokens, known))
        asks["by_hand"], asks["plain_rag"] = hand.agentic, hand.plain
        asks["langgraph_corrective"] = corrective(url, model, cases, answer_tokens, known)
        if not known:
            asks["langgraph_agentic"] = agentic(url, model, cases, answer_tokens, known)
        runs: dict[str, Run] = {name: _here(ask, cases) for name, ask in asks.items()}
        setting = {"url": url, "model": model, "answer_tokens": answer_tokens, "known": known}
        for name in IN_PEERS_PYTHON if peers else ():
            peer = stack.enter_context(Peer(peers, "agentic_peer.py", name))  # type: ignore[arg-type]
            peer.ask({**setting, "cases": list(cases)})
            runs[name] = _there(peer)
        yield runs


def _here(ask: Ask, cases: Sequence[Plain]) -> Run:
    async def run(questions: Sequence[int], clients: int) -> dict[str, Any]:
        return await ask_all(ask, [cases[number] for number in questions], clients)

    return run


def _there(peer: Peer) -> Run:
    async def run(questions: Sequence[int], clients: int) -> dict[str, Any]:
        return peer.ask({"questions": list(questions), "clients": clients})

    return run
