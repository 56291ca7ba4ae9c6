"""What the agentic loop costs beside its peers, counted at the language-model server.

    make bench-agentic [PEERS=PYTHON] [ARGS="--servers simulated --rounds 5"]

Asks the same questions of Tandem's graph (by its gradings), of the loops in the documentation of
LangGraph, LlamaIndex and Haystack, of plain RAG, and of a client written by hand that makes exactly
Tandem's calls. All get the same passages, found once by our embedded store, and answers of the same
length. Two servers, one after the other:

- *simulated* (``agentic_server.py``): the costs of a published 8B deployment, as
  ``agentic_engine.py`` has them, and replies by script, so that every scenario comes out as it
  should. First it takes no time, for
  counting tokens and rounds and for the clients' own processor time; then it takes its time.
- *vllm*: a real one on the CPU with a tiny model whose words mean nothing. There each contestant
  keeps every document, whatever the model says, so only the scenario "good" is run.

``PYTHON`` is the Python of an environment made for LlamaIndex and Haystack; without it they are
left out::

    python3 -m venv peers
    peers/bin/pip install llama-index-core llama-index-llms-openai-like haystack-ai

Rounds are interleaved; the prefix cache is emptied before each measurement.
"""

import argparse
import asyncio
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from backends.tracing import start_tracing
from benchmarks.agentic_asking import Plain
from benchmarks.agentic_cases import SCENARIOS, TOP_K, prepare
from benchmarks.agentic_contestants import Run, opened
from benchmarks.agentic_counting import Counter, since
from benchmarks.agentic_engine import A100_8B
from benchmarks.agentic_report import averaged, compared, counted, goals, tabulate
from benchmarks.agentic_server import MODEL, simulated
from benchmarks.measuring import report, spread, tell
from settings import PhoenixSettings
from tests.vllm.serving import MODEL as TINY
from tests.vllm.serving import make_tiny_model, serving

CLIENTS = (1, 16)
SLOW_ONLY_ALONE = ("tandem_verified", "tandem_pointwise", "tandem_off")
"""Variants of ours that are measured with one client alone, to keep the run short."""
_CASES = {"good": 16, "mixed": 2, "few": 2, "rewrite": 2, "nothing": 2}


def numbers(cases: Sequence[Plain], scenario: str) -> list[int]:
    """Which questions belong to a scenario."""
    return [number for number, case in enumerate(cases) if case["scenario"] == scenario]


async def count(
    runs: Mapping[str, Run], cases: Sequence[Plain], counter: Counter
) -> dict[str, dict[str, Any]]:
    """What each contestant costs the server in each scenario, a question."""
    figures: dict[str, dict[str, Any]] = {}
    for run in runs.values():  # a client's first question also finds out what the server can do
        await run(numbers(cases, "good")[-1:], 1)
    for scenario in SCENARIOS:
        figures[scenario.name] = {}
        for name, run in runs.items():
            questions = numbers(cases, scenario.name)[:2]
            found: list[dict[str, float]] = []
            for question in questions:
                counter.forget()
                before = counter.read()
                asked = await run([question], 1)
                found.append(counted(since(before, counter.read()), cases[question]))
                _check(cases[question], asked["answers"][0], name, scenario.name)
            figures[scenario.name][name] = averaged(found)
    return figures


def _check(case: Plain, answer: str, name: str, scenario: str) -> None:
    """That a contestant answers what its way can answer."""
    gives_up = name in ("plain_rag", "tandem_off") and scenario == "rewrite"
    wanted = scenario != "nothing" and not gives_up
    start = case["fact"].removesuffix(".")
    assert (start in answer) == wanted, f"{name} in {scenario} answers {answer!r}"


async def own_time(
    runs: Mapping[str, Run], cases: Sequence[Plain], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of the client's processor a question, against a server that takes no time."""
    questions = numbers(cases, "good")[:5]
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            asked = await run(questions, 1)
            figures[name].append(asked["processor_s"] * 1000 / len(questions))
    return {name: spread(values[1:], 2) for name, values in figures.items()}  # the first warms up


async def times(
    runs: Mapping[str, Run], cases: Sequence[Plain], counter: Counter, rounds: int
) -> dict[str, Any]:
    """Questions a second and seconds to the first piece of the answer, by number of clients."""
    figures: dict[str, Any] = {}
    for clients in CLIENTS:
        found: dict[str, list[dict[str, Any]]] = {
            name: [] for name in runs if clients == 1 or name not in SLOW_ONLY_ALONE
        }
        for number in range(rounds if clients == 1 else max(2, rounds - 1)):
            good = numbers(cases, "good")
            questions = good[:clients] if clients > 1 else [good[number % len(good)]]
            for name in found:
                counter.forget()
                before = counter.read()
                asked = await runs[name](questions, clients)
                asked["counts"] = since(before, counter.read(), len(questions))
                found[name].append(asked)
            seconds = {name: round(each[-1]["seconds"], 2) for name, each in found.items()}
            tell(f"{clients} clients, seconds: {seconds}")
        figures[str(clients)] = compared(found)
    return figures


async def on_simulated(options: argparse.Namespace, cases: list[Plain]) -> dict[str, Any]:
    """Counts and own time while the server takes none, then times."""
    plain: list[Any] = list(cases)
    with (
        tempfile.TemporaryDirectory() as work,
        simulated(plain, options.answer_tokens, A100_8B) as url,
        closing(Counter(url)) as counter,
    ):
        arguments = (url, MODEL, cases, options.answer_tokens, Path(work))
        async with opened(*arguments, peers=options.peers) as runs:
            figures: dict[str, Any] = {"counts": await count(runs, cases, counter)}
            figures["processor_ms"] = await own_time(runs, cases, options.cpu_rounds)
            tracing = start_tracing(PhoenixSettings(endpoint=url))
            ours = {name: run for name, run in runs.items() if name.startswith("tandem")}
            figures["processor_ms_traced"] = await own_time(ours, cases, options.cpu_rounds)
            await tracing.aclose()
            counter.take_time()
            figures["rates"] = {"name": A100_8B.name, "source": A100_8B.source}
            if options.rounds:
                figures["times"] = await times(runs, cases, counter, options.rounds)
    return figures


async def on_vllm(options: argparse.Namespace, cases: list[Plain]) -> dict[str, Any]:
    """Counts and times on a real vLLM."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        model = make_tiny_model(work / "model")
        # A model that means nothing would fill JSON with blanks up to the limit.
        compact = (
            "--structured-outputs-config",
            '{"backend": "xgrammar", "disable_any_whitespace": true}',
        )
        with (
            # In its development mode vLLM empties its prefix cache when it is told to.
            serving(model, work / "vllm.log", *compact, VLLM_SERVER_DEV_MODE="1") as url,
            closing(Counter(url)) as counter,
        ):
            arguments = (url, TINY, cases, options.answer_tokens, work)
            async with opened(*arguments, peers=options.peers, known=True) as runs:
                good = numbers(cases, "good")
                for run in runs.values():  # its first requests of a kind take seconds
                    await run(good[:1], 1)
                return {"times": await times(runs, cases, counter, options.rounds)}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, server by server."""
    cases: list[Plain] = [case.plain() for case in await prepare(_CASES)]
    figures: dict[str, Any] = {
        "benchmark": "agentic",
        "passages": TOP_K,
        "answer_tokens": options.answer_tokens,
    }
    if "simulated" in options.servers:
        figures["simulated"] = await on_simulated(options, cases)
    if "vllm" in options.servers:
        figures["vllm"] = await on_vllm(options, cases)
    figures["goals"] = goals(figures)
    return figures


def main() -> None:
    """Parses the command line and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peers", type=Path, help="the Python of LlamaIndex and Haystack")
    parser.add_argument("--servers", nargs="+", choices=("simulated", "vllm"), default=None)
    parser.add_argument("--rounds", type=int, default=3, help="of the timings; 0: counts alone")
    parser.add_argument("--cpu-rounds", type=int, default=5, help="of the processor time")
    parser.add_argument("--answer-tokens", type=int, default=64)
    options = parser.parse_args()
    options.servers = options.servers or ["simulated", "vllm"]
    # LangChain reads structured output into a field that its type does not know of.
    warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
    figures = asyncio.run(measure(options))
    tabulate(figures)
    report(figures)


if __name__ == "__main__":
    main()
