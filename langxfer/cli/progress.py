"""Progress on stderr: one bar a stage, with rate and time left; sentences in between."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from langxfer import events
from langxfer.report.quantities import duration, size

QUIET_SECONDS = 15  # between lines when nobody watches a terminal


class RunDisplay:
    """Draws events: bars on a terminal, a line now and then in a log file."""

    def __init__(self, console: Console):
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._stage = ""
        self._first: tuple[float, int] | None = None
        self._spoke = 0.0
        self._note = ""

    def __enter__(self) -> RunDisplay:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def show(self, event: events.Event) -> None:
        """Draw one event."""
        if isinstance(event, events.StageStarted):
            self._start(event)
        elif isinstance(event, events.Progress):
            self._advance(event.stage, event.done, event.total, event.unit)
        elif isinstance(event, events.StepFinished):
            self._note = f"loss {event.metrics['loss']:.4f}"
            self._advance(event.stage, event.step, event.steps, "steps")
        elif isinstance(event, events.Validated):
            self._say(f"  step {event.step}: validation loss {event.loss:.4f}{' (best so far)' if event.best else ''}")
        elif isinstance(event, events.StageFinished):
            self._end()
            self._say(f"[green]done[/]   {escape(event.stage)}  {duration(event.seconds)}, {size(event.peak_memory)}")
        elif isinstance(event, events.StageSkipped):
            self._say(f"[cyan]found[/]  {escape(event.stage)}  {event.key[:10]}")
        elif isinstance(event, events.Notice):
            self._say(f"[yellow]note[/]   {escape(event.message)}")
        elif isinstance(event, events.PointStarted):
            left = "" if event.seconds_left is None else f"  about {duration(event.seconds_left)} left"
            self._say(f"[bold]point {event.number} of {event.total}[/]  {escape(event.point)}{left}")
        elif isinstance(event, events.PointFinished) and event.error is not None:
            self._end()
            self._say(f"[red]failed[/] point {event.number} of {event.total}  {escape(event.error)}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _start(self, event: events.StageStarted) -> None:
        self._end()
        self._first, self._spoke, self._note = None, time.monotonic(), ""
        self._say(f"[bold]{'resume' if event.resumed else 'start '}[/] {escape(event.stage)}  {event.key[:10]}")

    def _advance(self, stage: str, done: int, total: int | None, unit: str) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._end()
            self._stage, self._first, self._spoke = stage, None, now
        if self._first is None:  # loading a model is not part of the rate
            self._first = (now, done)
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-9)
        if self._task is None:
            self._task = self._bars.add_task(escape(stage), total=total, rate="", note="")
        self._bars.update(
            self._task,
            completed=done,
            total=total,
            rate=f"{rate:.3g} {unit}/s" if rate else "",
            note=escape(self._note),
        )
        unfinished = total is None or done < total
        if not self._console.is_terminal and now - self._spoke >= QUIET_SECONDS and rate and unfinished:
            self._spoke = now
            left = "" if total is None else f", {duration((total - done) / rate)} left"
            of = "" if total is None else f"/{total}"
            self._say(f"  {escape(stage)}: {done}{of} {unit}, {rate:.3g} {unit}/s{left} {escape(self._note)}")

    def _end(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
