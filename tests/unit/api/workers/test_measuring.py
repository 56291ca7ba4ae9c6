"""Measurements of several processes, exposed as those of one."""

import json
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from api.workers import measuring
from api.workers.measuring import Summed


class Process:
    """What one process measures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.asked = Counter("asked", "Questions.", ["route"], registry=self.registry)
        self.took = Histogram(
            "took_seconds", "Time.", ["step"], buckets=(1, 2), registry=self.registry
        )
        self.behind = Gauge("behind", "The index.", registry=self.registry)
        self.memory = Gauge("process_open_fds", "Files.", registry=self.registry)

    def sent(self) -> list[Any]:
        """As it arrives in another process."""
        return measuring.read(json.loads(json.dumps(measuring.written(self.registry))))


def values(families: Any) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def two() -> tuple[Process, Process]:
    leader, worker = Process(), Process()
    for process, count in ((leader, 1), (worker, 10)):
        process.asked.labels("/ask").inc(count)
        process.took.labels("retrieve").observe(0.5)
        process.behind.set(count)
        process.memory.set(count)
    worker.asked.labels("/search").inc(5)
    worker.took.labels("generate").observe(1.5)
    return leader, worker


def test_counts_and_times_are_added_up_and_the_index_is_the_leaders() -> None:
    leader, worker = two()
    summed = Summed(leader.registry.collect(), [worker.sent(), worker.sent()])
    told = values(read_text(generate_latest(summed).decode()))
    assert told["asked_total", "/ask"] == 21
    assert told["asked_total", "/search"] == 10
    assert told["took_seconds_bucket", "1.0", "retrieve"] == 3
    assert told["took_seconds_count", "generate"] == 2
    assert told["took_seconds_sum", "generate"] == 3
    assert told["took_seconds_bucket", "1.0", "generate"] == 0
    assert told["behind",] == 1
    assert told["process_open_fds",] == 21


def test_both_formats_can_be_read_and_say_the_same() -> None:
    leader, worker = two()
    summed = Summed(leader.registry.collect(), [worker.sent()])
    plain = values(read_text(generate_latest(summed).decode()))
    strict = values(read_open(open_metrics(summed).decode()))  # type: ignore[no-untyped-call]  # of a library
    assert plain == strict != {}


def test_of_an_ended_process_only_counts_stay() -> None:
    leader, worker = two()
    summed = Summed(leader.registry.collect(), [measuring.counts(worker.sent())])
    told = values(summed.collect())
    assert told["asked_total", "/ask"] == 11
    assert told["process_open_fds",] == 1


def test_it_is_counted_since_the_first_began_to() -> None:
    leader, worker = two()
    since = [
        sample.value
        for process in (leader, worker)
        for metric in process.registry.collect()
        for sample in metric.samples
        if sample.name == "asked_created" and sample.labels["route"] == "/ask"
    ]
    (told,) = [
        sample.value
        for metric in Summed(leader.registry.collect(), [worker.sent()]).collect()
        for sample in metric.samples
        if sample.name == "asked_created" and sample.labels["route"] == "/ask"
    ]
    assert told == min(since)
