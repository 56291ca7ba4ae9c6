"""What the commands show: progress while indexing, reports, the status."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)
from rich.table import Table

_SHOWN_PROBLEMS = 20
_NAMED_CHANGES = 5


class _Output(Console):
    """Standard output; rich would end the program itself, with 1, when nobody reads it."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        raise  # what rich is handling when it calls this: the BrokenPipeError


class SyncDisplay:
    """A progress line on the terminal's error output, and the report after it."""

    def __init__(self, *, quiet: bool) -> None:
        self._errors = Console(stderr=True, quiet=quiet)
        self._output = _Output()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files  {task.fields[rate]}  {task.fields[left]}"),
            console=self._errors,
            transient=True,
            # On what is no terminal it would leave an empty line, before an error even.
            disable=quiet or not self._errors.is_terminal,
        )
        self._task = self._progress.add_task("indexing", total=None, rate="", left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, progress: dict[str, Any]) -> None:
        """Show how far the sync is."""
        left = progress["eta_s"]
        paused = progress["paused"]
        self._progress.update(
            self._task,
            completed=progress["files_done"],
            total=progress["files_total"],
            description=f"waiting: {escape(paused)}" if paused else "indexing",
            rate=f"{progress['chunks_per_s']:.0f} chunks/s",
            left="" if left is None else f"{_duration(left)} left",
        )

    def print_report(self, report: dict[str, Any]) -> None:
        """The summary: what changed, and what failed and why."""
        counts = ", ".join(
            f"{report[name]:,} {name}"
            for name in ("added", "changed", "moved", "deleted", "unchanged")
            if report[name]
        )
        self._output.print(
            f"{counts or 'nothing to index'} in {_duration(report['seconds'])}: "
            f"{report['chunks_embedded']:,} chunks embedded, {report['chunks_reused']:,} reused"
        )
        for name, problems in (("failed", report["failed"]), ("skipped", report["skipped"])):
            if problems:
                self._output.print(f"{len(problems):,} {name}:")
                _print_problems(self._output, problems)


def print_status(status: dict[str, Any], url: str | None) -> None:
    """What is indexed, how each backend does, and what failed."""
    output = _Output()
    documents = status["documents"]
    failed = [document for document in documents if document["state"] == "failed"]
    output.print(f"server: {url or 'not running; read from the data folder'}")
    output.print(
        f"index: {len(documents) - len(failed):,} documents, {status['points']:,} passages, "
        f"{len(failed):,} failed"
    )
    if status["points"] and not documents:
        output.print("The list of documents was lost: `tandem index PATH` makes it anew.")
    if status["syncing"]:
        output.print(f"syncing: {status['syncing']['files_done']:,} files done")
    if status["reindexing"]:
        output.print(f"reindexing: {status['reindexing']['files_done']:,} files done")
    if status["error"]:
        output.print(f"last sync stopped: {escape(status['error'])}")
    _print_freshness(output, status["index"], status["watching"])
    table = Table(box=None, show_header=False)
    for name, state in status["backends"].items():
        answer = f"{state['latency_ms']} ms" if state["ok"] else escape(state["reason"])
        table.add_row(name.replace("_", " "), "ok" if state["ok"] else "down", answer)
    output.print(table)
    _print_problems(output, failed)


def _print_freshness(
    output: Console, index: dict[str, Any], watching: list[dict[str, Any]]
) -> None:
    """How far the index is behind the files, and how each folder is watched."""
    state = index["state"].replace("_", " ")
    if index["behind_s"] is not None and index["state"] != "current":
        state += f", {_duration(index['behind_s'])} behind, {index['pending']:,} files due"
    output.print(f"freshness: {state}; last compared in full: {index['checked_at'] or 'never'}")
    if index["reason"]:
        output.print(f"  {escape(index['reason'])}")
    for folder in watching:
        how = {"events": "by events", "polling": "by polling"}.get(folder["mode"], "waited for")
        output.print(f"  {escape(folder['root'])}: {how}, last compared {folder['checked_at']}")
        if folder["warning"]:
            output.print(f"    {escape(folder['warning'])}")


def print_event(name: str, data: dict[str, Any]) -> None:
    """A line for something that happened while watching."""
    _Output().print(escape(event_line(name, data)))


def event_line(name: str, data: dict[str, Any]) -> str:
    """What happened, in words."""
    if name == "watching":
        how = "by events" if data["how"] == "events" else "by polling"
        return data["warning"] or f"watching {data['root']} {how}"
    if name == "synced":
        return f"{_named(data)}: {_cost(data)}"
    return {
        "gone": f"waiting: {data.get('reason')}",
        "paused": f"paused: {data.get('reason')}",
        "resumed": "going on",
    }.get(name, name)


def _named(report: dict[str, Any]) -> str:
    """The changes by name while they are few, else how many of each kind there are."""
    changes = report["changes"]
    if not changes:
        return f"up to date, {report['unchanged']:,} files"
    if len(changes) <= _NAMED_CHANGES:
        return ", ".join(map(_change, changes))
    kinds = ("added", "changed", "moved", "deleted")
    counts = [f"{report[kind]:,} {kind}" for kind in kinds if report[kind]]
    return ", ".join(
        [*counts, *([f"{len(report['failed']):,} failed"] if report["failed"] else [])]
    )


def _change(change: dict[str, Any]) -> str:
    if change["kind"] == "moved":
        return f"moved {change['detail']} to {change['source']}"
    failed = f" ({change['detail']})" if change["kind"] == "failed" else ""
    return f"{change['kind']} {change['source']}{failed}"


def _cost(report: dict[str, Any]) -> str:
    chunks = report["chunks_embedded"]
    embedded = f"{chunks:,} {'chunk' if chunks == 1 else 'chunks'} embedded"
    return f"{embedded if chunks else 'nothing to embed'}, {_duration(report['seconds'])}"


def _print_problems(output: Console, problems: list[dict[str, Any]]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        output.print(f"  {escape(problem['source'])}: {escape(problem['reason'])}")
    if len(problems) > _SHOWN_PROBLEMS:
        output.print(f"  and {len(problems) - _SHOWN_PROBLEMS:,} more: `tandem status --json`")


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
