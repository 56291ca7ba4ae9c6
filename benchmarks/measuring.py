"""What every benchmark shares: medians with their spread, ratios, cost, memory, how it reports."""

import contextlib
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_MEGABYTE = 1e6


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """The median and the extremes."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The spread of the ratios, each of two figures of the same round."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """What half and what 95 of 100 stay below, and the worst."""
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 3),
        "max": round(ordered[-1], 3),
    }


class Cost(NamedTuple):
    """What some work took: seconds, and seconds of processor time of the whole process."""

    seconds: float
    processor: float


@contextlib.contextmanager
def timed(costs: list[Cost]) -> Iterator[None]:
    """Adds what the block takes."""
    started, used = time.perf_counter(), time.process_time()
    yield
    costs.append(Cost(time.perf_counter() - started, time.process_time() - used))


def memory_mb(process: int | str = "self") -> dict[str, float]:
    """Resident memory of a process in MB: its own (``RssAnon``), mapped files (``RssFile``), and
    the most it ever had of both. Linux only."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    kilobytes = dict(re.findall(r"^(RssAnon|RssFile|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {
        name: round(int(kilobytes[key]) * 1024 / _MEGABYTE, 1)
        for name, key in (("anonymous", "RssAnon"), ("files", "RssFile"), ("peak", "VmHWM"))
    }


def size_mb(folder: Path) -> float:
    """The sizes of all files below a folder, in MB."""
    files = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return round(sum(files) / _MEGABYTE, 3)


def report(figures: Mapping[str, Any]) -> None:
    """The result, on standard output, for programs."""
    print(json.dumps(figures, indent=2))


def tell(line: str) -> None:
    """Progress, on standard error, for people."""
    print(line, file=sys.stderr, flush=True)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table, on standard error, for people."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    tell(f"\n{title}")
    for row in cells:
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        tell("  ".join((first, *others)))


def span(figures: Mapping[str, float]) -> str:
    """A spread in a table's cell."""
    return f"{figures['median']:,g} ({figures['min']:,g} to {figures['max']:,g})"
