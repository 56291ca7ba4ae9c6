"""What serving costs: streaming beside the stock stack, many people at once, and the start.

    make bench-serving

Three parts, each of which can be run alone with ``--only``:

- ``streaming``: a model that writes at full speed, and 1, 16 and 64 clients that read. Tokens a
  second of whole answers, and processor time of the serving process, for each token and apart from
  them for each answer, of Tandem's ``/ask`` with
  tracing on (as it is, and without the verification of sentences, which is a model call each), of
  a LangGraph graph over ``ChatOpenAI`` behind server-sent events, of LangServe's
  ``/stream_events`` on that graph, and of LangServe's ``/stream_events`` on Tandem's own graph.
  Tandem's graph also searches, grades and checks; the stock graph does not.
- ``people``: 200 streams at the speed at which people read, for ``--minutes``: what fails, how much
  memory grows once warm, and how late a token comes, compared with a proxy that hands bytes on
  for a tenth as many clients at the same time.
- ``start``: from ``tandem serve`` to ``/readyz``, beside a Python that only imports the libraries.

Everything runs on one machine, the clients and the model too: speeds carry over to others less well
than the ratios, which are taken round by round.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.measuring import percentiles, report, show, tell
from benchmarks.serving_processes import Serving, model, stock, tandem, through_langserve
from benchmarks.serving_start import start

CLIENTS = (1, 16, 64)
_GOALS = {"speed_over_messages": 4.0, "speed_over_stream_events": 6.0, "us_a_token": 100.0}
_PEERS = ("messages", "stream_events", "own_stream_events")
_ANSWERS = 8
"""Answers that fewer clients read one after the other: else too short a time is measured."""
_SHORTER = 6
_SAMPLE_S = 5.0


def quartiles(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """The median with its quartiles."""
    low, middle, high = quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {
        "median": round(middle, digits),
        "q1": round(low, digits),
        "q3": round(high, digits),
    }


def streaming(folder: Path, rounds: int, tokens: int) -> dict[str, Any]:
    """Tokens a second and processor time for each, with a source at full speed."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(model())
        unverified = {"TANDEM_VERIFICATION": "off"}
        peers = stack.enter_context(stock(url))
        ours = stack.enter_context(tandem("tandem", url, folder))
        compared = [
            ours,
            stack.enter_context(tandem("tandem_unverified", url, folder, **unverified)),
            peers["messages"],
            peers["stream_events"],
            through_langserve("own_stream_events", ours),
        ]
        for serving in compared:
            serving.read(2, tokens, runs=2)
        figures = {}
        for clients in CLIENTS:
            tell(f"{clients} clients ...")
            measured = [
                {serving.name: _round(serving, clients, tokens) for serving in compared}
                for _ in range(rounds)
            ]
            figures[str(clients)] = _compared(measured)
    return {"tokens_an_answer": tokens, "rounds": rounds, "goals": _GOALS, "clients": figures}


def _round(serving: Serving, clients: int, tokens: int) -> dict[str, float]:
    """Two lengths of answers tell the cost of a token from that of an answer."""
    short = tokens // _SHORTER
    tokens_s, long_us = _read(serving, clients, tokens)
    _, short_us = _read(serving, clients, short)
    token_us = (long_us - short_us) / (tokens - short)
    return {
        "tokens_s": tokens_s,
        "us_a_token": token_us,
        "ms_an_answer": (short_us - short * token_us) / 1000,
    }


def _read(serving: Serving, clients: int, tokens: int) -> tuple[float, float]:
    """Tokens a second of all clients, and microseconds of processor time for each answer."""
    before = serving.cpu_s()
    found = serving.read(clients, tokens, runs=max(1, _ANSWERS // clients))
    if found["failures"]:
        raise SystemExit(f"{serving.name}: {found['examples']}")
    used_us = (serving.cpu_s() - before) * 1e6
    return found["runs"] * tokens / found["seconds"], used_us / found["runs"]


def _compared(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        name: {key: quartiles([each[name][key] for each in rounds]) for key in rounds[0][name]}
        for name in rounds[0]
    }
    for name in ("tandem", "tandem_unverified"):
        for peer in _PEERS:
            speeds = [each[name]["tokens_s"] / each[peer]["tokens_s"] for each in rounds]
            costs = [each[peer]["us_a_token"] / each[name]["us_a_token"] for each in rounds]
            figures[name][f"speed_over_{peer}"] = quartiles(speeds, 2)
            figures[name][f"cost_below_{peer}"] = quartiles(costs, 2)
    return figures


def people(folder: Path, streams: int, minutes: float, rate: float, tokens: int) -> dict[str, Any]:
    """Many streams at reading speed: failures, memory, and how late tokens come."""
    seconds = minutes * 60
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(model(rate))
        peers = stack.enter_context(stock(url))
        serving = stack.enter_context(tandem("people", url, folder))
        serving.read(8, 20, runs=1)
        tell(f"{streams} streams for {minutes:g} minutes ...")
        before = serving.cpu_s()
        found, proxied, memory = _side_by_side(
            serving,
            peers["proxy"],
            streams,
            tokens,
            seconds,
            spread_s=min(tokens / rate, seconds / 3),
        )
        cpu_s = serving.cpu_s() - before
    late = {name: percentiles([us / 1000 for us in each["late_us"]]) for name, each in
            (("tandem_ms", found), ("proxy_ms", proxied))}  # fmt: skip
    warm = memory[len(memory) // 4 :]
    half = len(warm) // 2
    return {
        "streams": streams,
        "minutes": minutes,
        "tokens_a_second_each": rate,
        "answers": found["runs"],
        "failures": found["failures"],
        "examples": found["examples"],
        "token_late": {**late, "p95_over_proxy_ms": round(
            late["tandem_ms"]["p95"] - late["proxy_ms"]["p95"], 3)},
        "cpu_of_one_core": round(cpu_s / found["seconds"], 3),
        "memory_mb": {
            "begin": memory[0],
            "warm": round(median(warm[:half] or warm), 1),
            "end": round(median(warm[half:]), 1),
        },
    }  # fmt: skip


def _side_by_side(
    serving: Serving,
    proxy: Serving,
    streams: int,
    tokens: int,
    seconds: float,
    *,
    spread_s: float,
) -> tuple[dict[str, Any], dict[str, Any], list[float]]:
    """What both read at the same time, a tenth as much through the proxy, and the memory then."""
    memory = [serving.memory_mb()]
    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(
                each.read, count, tokens, seconds=seconds, spread_s=spread_s, stamps=True
            )
            for each, count in ((serving, streams), (proxy, max(1, streams // 10)))
        ]
        while not both[0].done():
            time.sleep(min(_SAMPLE_S, seconds / 12))
            memory.append(serving.memory_mb())
        return both[0].result(), both[1].result(), memory


def tables(figures: Mapping[str, Any]) -> None:
    """What people read."""
    if found := figures.get("streaming"):
        keys = ("tokens_s", "us_a_token", "ms_an_answer", *(
            f"{what}_{peer}" for what in ("speed_over", "cost_below")
            for peer in _PEERS
        ))  # fmt: skip
        rows = [
            (clients, name, *(_span(each[key]) if key in each else "" for key in keys))
            for clients, systems in found["clients"].items()
            for name, each in systems.items()
        ]
        columns = ("clients", "system", *(key.replace("_", " ") for key in keys))
        show("Streaming at full speed: median (quartiles)", columns, rows)
    if found := figures.get("people"):
        late, memory = found["token_late"], found["memory_mb"]
        rows = [
            ("answers, failures", f"{found['answers']}, {found['failures']}"),
            ("late, Tandem, ms", late["tandem_ms"]),
            ("late, proxy, ms", late["proxy_ms"]),
            ("p95 over the proxy, ms", late["p95_over_proxy_ms"]),
            ("of one core", found["cpu_of_one_core"]),
            ("memory warm, end, MB", f"{memory['warm']}, {memory['end']}"),
        ]
        show(f"{found['streams']} people for {found['minutes']:g} minutes", ("", ""), rows)
    if found := figures.get("start"):
        show("From the command to readiness", ("", "seconds"), list(found.items()))


def _span(found: Mapping[str, float]) -> str:
    return f"{found['median']:,g} ({found['q1']:,g} to {found['q3']:,g})"


def main() -> None:
    """Print the figures as JSON, and tables for people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("streaming", "people", "start"), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=600, help="of an answer, at full speed")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=8.0, help="tokens a second, as people read")
    options = parser.parse_args()
    parts = options.only or ["streaming", "people", "start"]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "streaming" in parts:
            figures["streaming"] = streaming(folder, options.rounds, options.tokens)
        if "people" in parts:
            figures["people"] = people(
                folder, options.streams, options.minutes, options.rate, tokens=160
            )
        if "start" in parts:
            figures["start"] = start(folder, options.rounds)
    tables(figures)
    report(figures)


if __name__ == "__main__":
    main()
