"""What a server has counted: vLLM's own metrics, and what the simulated one adds."""

import re
from collections.abc import Mapping

import httpx

_LINE = re.compile(r"^(?:vllm|simulated):(\w+?)(?:_total)?(?:\{(.*?)\})? (\S+)$", re.MULTILINE)
_KEPT = (
    "prompt_tokens",
    "generation_tokens",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "request_success",
    "rounds_before_answer",
)

Counts = dict[str, float]


def read_counts(text: str) -> Counts:
    """The counters in a page of metrics: vLLM's summed over their labels, by kind where given."""
    counts: Counts = {}
    for name, labels, value in _LINE.findall(text):
        kind = re.search(r'kind="(\w+)"', labels)
        if name in _KEPT or kind:
            key = f"{name}_{kind.group(1)}" if kind else name
            counts[key] = counts.get(key, 0.0) + float(value)
    return counts


class Counter:
    """One server's counters."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def read(self) -> Counts:
        return read_counts(self._http.get("/metrics").raise_for_status().text)

    def forget(self) -> None:
        """Empty the prefix cache, so that nobody finds what another one had computed."""
        self._http.post("/reset_prefix_cache").raise_for_status()

    def take_time(self) -> None:
        """Have the simulated server take the time that its rates say."""
        self._http.get("/take_time").raise_for_status()

    def close(self) -> None:
        self._http.close()


def since(before: Mapping[str, float], after: Counts, questions: int = 1) -> Counts:
    """What was counted between two readings, a question.

    ``computed`` are prompt tokens that were not found in the prefix cache; rounds are no counter.
    """
    counts = {name: (after[name] - before.get(name, 0.0)) / questions for name in after}
    counts["computed"] = counts["prefix_cache_queries"] - counts["prefix_cache_hits"]
    if "rounds_before_answer" in after:
        counts["rounds_before_answer"] = after["rounds_before_answer"]
    return counts
