"""What several processes have measured, as the measurements of one service.

Counts and durations are added up. What tells how something does now, such as how far the index is
behind, is known to the leader alone; of the processes' own sizes there is a sum.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

_SUMMED = ("counter", "histogram")
_SIZES = (
    "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds",
)  # fmt: skip
_CREATED = "_created"
"""Ends the names of the samples that tell since when is counted."""


def written(registry: CollectorRegistry) -> list[Any]:
    """A registry's measurements as JSON has them; read again by ``read``."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        ]
        for metric in registry.collect()
    ]


def read(families: list[Any]) -> list[Metric]:
    """What ``written`` has written."""
    metrics = []
    for name, documentation, kind, samples in families:
        metric = Metric(name, documentation, kind)
        for sample in samples:
            metric.add_sample(*sample)
        metrics.append(metric)
    return metrics


def counts(metrics: Iterable[Metric]) -> list[Metric]:
    """Of a process that has ended: what it has counted stays true, its sizes do not."""
    return [metric for metric in metrics if metric.type in _SUMMED]


class Summed:
    """Measurements to be exposed as if one process had made them all.

    ``leaders`` are those of the leader: there is every family in them.
    """

    def __init__(self, leaders: Iterable[Metric], others: Sequence[Iterable[Metric]]) -> None:
        found: dict[str, list[Metric]] = {}
        for metrics in others:
            for metric in metrics:
                found.setdefault(metric.name, []).append(metric)
        self._metrics = [
            _sum(metric, found.get(metric.name, []))
            if metric.type in _SUMMED or metric.name in _SIZES
            else metric
            for metric in leaders
        ]

    def collect(self) -> Iterable[Metric]:
        """As a registry does it for an encoder."""
        return self._metrics


def _sum(first: Metric, others: Iterable[Metric]) -> Metric:
    # The samples of a histogram belong together, and so do those of each of its label sets.
    groups: dict[Any, dict[Any, Sample]] = {}
    for metric in (first, *others):
        for sample in metric.samples:
            bound = sample.labels.get("le")
            others_labels = frozenset(item for item in sample.labels.items() if item[0] != "le")
            group = groups.setdefault(others_labels, {})
            known = group.get((sample.name, bound))
            group[sample.name, bound] = sample if known is None else _added(known, sample)
    summed = Metric(first.name, first.documentation, first.type)
    summed.samples = [sample for group in groups.values() for sample in group.values()]
    return summed


def _added(one: Sample, other: Sample) -> Sample:
    if one.name.endswith(_CREATED):
        return min(one, other, key=lambda sample: sample.value)
    return one._replace(value=one.value + other.value)
