"""What an answer that is begun beside the grading gives and costs, counted at the server.

    python -m benchmarks.speculation

Asks Tandem's graph the questions of ``benchmarks.agentic`` with and without
``TANDEM_GRADING__SPECULATE``, of a simulated server that takes the time of a published 8B
deployment (``agentic_engine.py``). Of the six passages all help ("good"), three ("mixed"), one
("few"), or none, whatever is searched for ("nothing"). The rounds of both ways are interleaved, and
each begins with an empty prefix cache. Prints JSON: milliseconds to the first piece of the answer,
or to the end of a run without one, and tokens of the server for a question.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks.agentic_asking import Ask, Plain, ask_all
from benchmarks.agentic_cases import prepare
from benchmarks.agentic_counting import Counter, since
from benchmarks.agentic_engine import A100_8B
from benchmarks.agentic_ours import tandem
from benchmarks.agentic_server import simulated
from benchmarks.measuring import report, show, span, spread, tell

SCENARIOS = ("good", "mixed", "few", "nothing")
CLIENTS = (1, 8)
_QUESTIONS = 8
_ANSWER_TOKENS = 64


async def measure(rounds: int) -> dict[str, Any]:
    """Both ways in every scenario, for one client and for many."""
    figures: dict[str, Any] = {}
    for scenario in SCENARIOS:
        cases: list[Any] = [case.plain() for case in await prepare({scenario: _QUESTIONS})]
        with (
            tempfile.TemporaryDirectory() as work,
            simulated(cases, _ANSWER_TOKENS, A100_8B) as url,
            closing(Counter(url)) as counter,
        ):
            counter.take_time()
            async with AsyncExitStack() as stack:
                ways: dict[str, Ask] = {}
                for name, speculate in (("one after the other", False), ("begun beside", True)):
                    opening = tandem(
                        url, cases, _ANSWER_TOKENS, Path(work) / name, speculate=speculate
                    )
                    ways[name] = await stack.enter_async_context(opening)
                for clients in CLIENTS:
                    name = f"{scenario}, {clients} clients"
                    tell(name)
                    figures[name] = await _compare(ways, cases, clients, counter, rounds)
    return figures


async def _compare(
    ways: Mapping[str, Ask], cases: Sequence[Plain], clients: int, counter: Counter, rounds: int
) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        asked = cases if clients > 1 else [cases[number % len(cases)]]
        for way, ask in ways.items():
            found[way].append(await _ask(ask, asked, clients, counter))
    return {way: _spread(runs[1:]) for way, runs in found.items()}  # the first warms up


async def _ask(ask: Ask, cases: Sequence[Plain], clients: int, counter: Counter) -> dict[str, Any]:
    counter.forget()
    before = counter.read()
    asked = await ask_all(ask, cases, clients)
    await asyncio.sleep(0.1)  # what was left ends with the server's next step
    counts = since(before, counter.read(), len(cases))
    return {
        "first_ms": [1000 * first for first in asked["first_s"]] or [1000 * asked["seconds"]],
        "generated": counts["generation_tokens"],
        "computed": counts["computed"],
    }


def _spread(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "first_ms": spread([first for run in runs for first in run["first_ms"]], 0),
        "generated_tokens": spread([run["generated"] for run in runs], 1),
        "computed_tokens": spread([run["computed"] for run in runs], 0),
    }


def main() -> None:
    """Print the figures as JSON, and a table beside."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds))
    rows = [
        (name, way, *(span(value) for value in measured.values()))
        for name, ways in figures.items()
        for way, measured in ways.items()
    ]
    show("a question", ("", "", "ms to the first", "generated", "computed"), rows)
    report({"benchmark": "speculation", "rates": A100_8B.name, **figures})


if __name__ == "__main__":
    main()
