"""Figures of the agentic benchmark: a question's costs, ratios of a round, goals, tables."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.agentic_asking import Plain
from benchmarks.agentic_contestants import GRADING_PEERS, PEERS
from benchmarks.measuring import ratios, show, span, spread

Figures = Mapping[str, Any]

GOALS = {
    "grading_tokens_per_document": 1.0,
    "times_fewer_grading_tokens_than_langgraph": 8.0,
    "rounds_before_answer": 1.0,
    "rounds_before_answer_after_one_rewrite": 3.0,
    "processor_ms": 6.0,
    "over_best_grading_peer_1": 2.0,
    "over_best_grading_peer_16": 1.5,
    "over_by_hand_simulated": 0.97,
    "over_by_hand_vllm": 0.9,
}


def counted(counts: Mapping[str, float], case: Plain) -> dict[str, float]:
    """What a question has cost the server."""
    queries = (case["question"], *case["rewrites"])
    found = {passage["id"] for query in queries for passage in case["found"][query]}
    return {
        "requests": counts["request_success"],
        "graded": counts.get("requests_grade", 0.0),
        "grading_tokens": counts.get("tokens_grade", 0.0),
        "passages_found": len(found),
        "generated_tokens": counts["generation_tokens"],
        "prompt_tokens": counts["prompt_tokens"],
        "computed_tokens": counts["computed"],
        "rounds_before_answer": counts["rounds_before_answer"],
    }


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The same of several questions."""
    return {name: round(statistics.mean(each[name] for each in found), 1) for name in found[0]}


def compared(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Each contestant's speed, and Tandem's over the others', round by round."""
    speeds = {
        name: [run["questions"] / run["seconds"] for run in runs] for name, runs in found.items()
    }
    figures: dict[str, Any] = {
        name: {
            "questions_per_s": spread(speeds[name]),
            "first_ms": spread(
                [1000 * first for run in runs for first in run["first_s"]] or [0], 0
            ),
            "generated_tokens": round(runs[-1]["counts"]["generation_tokens"], 1),
            "computed_tokens": round(runs[-1]["counts"]["computed"], 1),
        }
        for name, runs in found.items()
    }
    for ours in ("tandem", "tandem_speculate", "plain_rag"):
        if ours not in speeds:
            continue
        over = {
            name: ratios(speeds[ours], theirs)
            for name, theirs in speeds.items()
            if name in PEERS or name in ("by_hand", "plain_rag")
        }
        for name, group in (("best_grading_peer", GRADING_PEERS), ("best_peer", PEERS)):
            best = [
                max(each) for each in zip(*(speeds[p] for p in group if p in speeds), strict=True)
            ]
            over[name] = ratios(speeds[ours], best)
        figures[f"{ours}_over"] = over
    return figures


def goals(figures: Figures) -> dict[str, Any]:
    """What was aimed at beside what was measured."""
    return {
        name: {"measured": value, "goal": GOALS.get(name)}
        for name, value in _measured(figures)
        if value is not None
    }


def _measured(figures: Figures) -> Iterator[tuple[str, Any]]:
    if simulated := figures.get("simulated"):
        counts = simulated["counts"]
        ours, bare = counts["good"]["tandem"], counts["good"]["plain_rag"]
        per_document = ours["grading_tokens"] / ours["graded"]
        theirs = counts["good"]["langgraph_corrective"]
        yield "grading_tokens_per_document", per_document
        nothing = counts["nothing"]["tandem"]
        yield "grades_of_passages_seen_before", nothing["graded"] - nothing["passages_found"]
        fewer = theirs["grading_tokens"] / theirs["graded"] / per_document
        yield "times_fewer_grading_tokens_than_langgraph", fewer
        yield "rounds_before_answer", ours["rounds_before_answer"]
        rewritten = counts["rewrite"]["tandem"]["rounds_before_answer"]
        yield "rounds_before_answer_after_one_rewrite", rewritten
        computed = round(ours["computed_tokens"] / bare["computed_tokens"], 3)
        yield "computed_tokens_over_bare_answer", computed
        yield "processor_ms", simulated["processor_ms"]["tandem"]["median"]
        yield "processor_ms_traced", simulated["processor_ms_traced"]["tandem"]["median"]
    for server in ("simulated", "vllm"):
        for clients, found in figures.get(server, {}).get("times", {}).items():
            over = found["tandem_over"]
            suffix = "" if server == "simulated" else "_vllm"
            best = over["best_grading_peer"]["median"]
            yield f"over_best_grading_peer_{clients}{suffix}", best
            bound = found["plain_rag_over"]["best_grading_peer"]["median"]
            yield f"over_best_grading_peer_{clients}{suffix}_if_grading_cost_nothing", bound
            yield f"over_best_peer_{clients}{suffix}", over["best_peer"]["median"]
            yield f"sooner_than_best_grading_peer_{clients}{suffix}", _sooner(found)
            if clients == "1":
                yield f"over_by_hand_{server}", over["by_hand"]["median"]


def _sooner(found: Figures) -> float:
    """How many times as long the quickest grading peer takes to the first piece of its answer."""
    first: list[float] = [
        found[name]["first_ms"]["median"] for name in found if name in GRADING_PEERS
    ]
    ours: float = found["tandem"]["first_ms"]["median"]
    return round(min(first) / ours, 2)


def tabulate(figures: Figures) -> None:
    """The figures for people."""
    if simulated := figures.get("simulated"):
        for scenario, found in simulated["counts"].items():
            rows = [(name, *counts.values()) for name, counts in found.items()]
            columns = ("", *next(iter(found.values())))
            show(f"a question, {scenario}", columns, rows)
        traced = simulated["processor_ms_traced"]
        rows = [
            (name, span(each), span(traced[name]) if name in traced else "")
            for name, each in simulated["processor_ms"].items()
        ]
        show("own processor time, ms a question", ("", "untraced", "traced"), rows)
    for server in ("simulated", "vllm"):
        for clients, found in figures.get(server, {}).get("times", {}).items():
            over = found["tandem_over"]
            rows = [
                (
                    name,
                    span(each["questions_per_s"]),
                    span(each["first_ms"]),
                    each["generated_tokens"],
                    each["computed_tokens"],
                    span(over[name]) if name in over else "",
                )
                for name, each in found.items()
                if "questions_per_s" in each
            ]
            columns = ("", "questions/s", "ms to the first", "generated", "computed", "Tandem over")
            show(f"{server}, {clients} clients", columns, rows)
    rows = [(name, each["measured"], each["goal"] or "") for name, each in figures["goals"].items()]
    show("goals", ("", "measured", "goal"), rows)
