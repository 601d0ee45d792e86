"""Runs the points of a sweep one after the other, in the folder where single runs lie: what they share is made once.

A finished point is found by its artifacts, so the same sweep goes on where it was stopped. A point that fails is
recorded, and the others are done all the same. With several processes a failure ends the sweep as it ends a run,
because the processes are out of step then; the next start tries what failed last.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import linear_regression
from typing import Any, Literal

from langxfer.data import read_jsonl
from langxfer.engine import folder, plan
from langxfer.engine.making import Outcome
from langxfer.engine.plan import Plan
from langxfer.engine.run import Written, run
from langxfer.engine.store import Store, digest, make_folder, storage_errors, write_atomically
from langxfer.errors import LangxferError, RecipeError
from langxfer.events import Event, PointFinished, PointStarted
from langxfer.recipe import Recipe
from langxfer.recipe_text import yaml_text
from langxfer.report.html.writing import REPORT, write_sweep_report
from langxfer.report.settings import label, without_seed
from langxfer.report.sweep import EXPANDED, RESULT, TABLE, Report, make_report
from langxfer.sweeps import Point, Sweep, gathered

POINTS, FAILURES = "points.jsonl", "failures.log"


@dataclass(frozen=True)
class Result:
    """What became of a point.

    Attributes:
        run: folder of its run, from the folder of runs.
        seconds: that its stages took, as they say themselves, so that it is the same where they were found. A stage of
            several points counts for the first of them; one that was killed, from where it went on. Of a point that
            failed, how long it took to do so; None of one that waits.
        error: why it failed.
    """

    point: Point
    key: str
    run: str
    status: Literal["waiting", "done", "failed"] = "waiting"
    seconds: float | None = None
    error: str | None = None

    def record(self) -> dict[str, Any]:
        """As a row of points.jsonl."""
        own = {name: getattr(self, name) for name in ("key", "run", "status", "seconds", "error")}
        return {"settings": dict(self.point.settings), **own}


@dataclass(frozen=True)
class Swept:
    """A sweep that went through all its points.

    Attributes:
        path: the sweep's folder.
        results: in the order of the points.
        report: means, curves and crossings of the points that are done.
    """

    path: Path
    results: tuple[Result, ...]
    report: Report

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if result.status == "failed"]


def planned(given: Sweep) -> list[Plan]:
    """The plans of all points, before anything runs.

    Raises:
        RecipeError: a point's model or data cannot be found, two points are the same run, or they want other devices.
    """
    if not given.points:
        raise RecipeError(f"the sweep {given.title} has no points. Give it at least one.")
    plans: list[Plan] = []
    problems: list[tuple[str, str]] = []
    for point in given.points:
        try:
            plans.append(plan.build(point.recipe.resolved(Path.cwd())))
        except LangxferError as error:
            problems += [(label(point.settings), sentence) for sentence in str(error).splitlines()]
    if problems:
        raise RecipeError(gathered(problems, len(given.points)))
    problems = [*_repeated(given, plans), *_mixed(given), *_dependent(given), *_devices(given)]
    if problems:
        raise RecipeError(sentence for _, sentence in problems)
    return plans


def _repeated(given: Sweep, plans: Sequence[Plan]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    found = []
    for point, made in zip(given.points, plans, strict=True):
        own = label(point.settings)
        if made.key in first:
            sentence = f"the points {first[made.key]} and {own} are the same run: nothing in which they differ changes"
            found.append((own, f"{sentence} a result. Remove one of them."))
        first.setdefault(made.key, own)
    return found


def _mixed(given: Sweep) -> list[tuple[str, str]]:
    """Points that would be averaged as seeds of one recipe, and are not: their settings do not say how they differ."""
    first: dict[str, Any] = {}
    found = []
    for point in given.points:
        recipe = point.recipe.model_dump(mode="json", exclude={"title"})
        for phase in recipe["phases"]:
            phase["training"]["seed"] = 0
        settings = without_seed(point.settings)
        if first.setdefault(json.dumps(settings, sort_keys=True), recipe) != recipe:
            found.append(
                (
                    label(settings),
                    f"points with the settings {label(settings)} differ in more than seeds, so they cannot be "
                    "averaged. Give their settings what they differ in.",
                )
            )
    return found


def _dependent(given: Sweep) -> list[tuple[str, str]]:
    """Points that would be averaged as repetitions, and share a phase: what its seed did, it did to all of them."""
    groups: dict[str, tuple[str, set[tuple[int, ...]]]] = {}
    for point in given.points:
        settings = without_seed(point.settings)
        _, seeds = groups.setdefault(json.dumps(settings, sort_keys=True), (label(settings), set()))
        seeds.add(tuple(phase.training.seed for phase in point.recipe.phases))
    return [
        (
            own,
            f"points with the settings {own} share the seed of phase {number} and differ in that of another, so "
            "they are no repetitions and cannot be averaged. Use seed=1,2, which gives all phases another seed.",
        )
        for own, seeds in groups.values()
        for number, of_phase in enumerate(zip(*seeds, strict=False))
        if len(set(of_phase)) < len(seeds)
    ]


def _devices(given: Sweep) -> list[tuple[str, str]]:
    devices = sorted({point.recipe.compute.device for point in given.points})
    if len(devices) == 1:
        return []
    return [
        ("", f"compute.device is {' and '.join(devices)}, but a sweep runs in one process. Choose one for all points.")
    ]


def sweep(
    given: Sweep,
    runs: Path | str = "runs",
    *,
    observe: Callable[[Event], None] = lambda event: None,
    plugins: tuple[tuple[str, str], ...] = (),
) -> Swept:
    """Run all points; what is there already is found, not made again.

    Args:
        given: the points, from ``load_sweep`` or made in Python.
        runs: where run folders and shared artifacts go, and the folder of the sweep.
        observe: called with every event, on the main process.
        plugins: (file, SHA-256) of plugin files, for the manifests of the runs.

    Raises:
        RecipeError, DataError: a point is wrong; no point has run then.
        ArtifactError: something cannot be stored.
    """
    from langxfer.engine.runtime import Runtime, free

    plans = planned(given)
    runtime = Runtime(given.points[0].recipe.compute)
    own = _Folder(Path(runs), given, plans)
    if runtime.main:
        own.begin()
    order, clock = runtime.decide(own.order(runtime.world)), _Clock(own.work())
    for place, number in enumerate(order):
        point, started = given.points[number], time.monotonic()
        emit = observe if runtime.main else lambda event: None
        emit(PointStarted(label(point.settings), place + 1, len(order), clock.left(order[place:])))
        try:
            found = run(point.recipe, runs, observe=observe, written=_written(point, plugins))
            own.put(number, "done", own.seconds(number, found.outcomes), None, runtime.main)
            clock.took(number, time.monotonic() - started)
        except Exception as error:
            message = str(error) if isinstance(error, LangxferError) else f"{type(error).__name__}: {error}"
            own.put(number, "failed", time.monotonic() - started, message, runtime.main)
            if runtime.world > 1:
                raise
        result = own.results[number]
        if result.error is not None:
            free()  # what the failed stage had loaded
        emit(PointFinished(label(point.settings), place + 1, len(order), result.seconds, result.error))
    return own.finish(runtime.main)


def _written(point: Point, plugins: tuple[tuple[str, str], ...]) -> Written | None:
    return None if point.text is None else Written(point.text, point.file, point.overrides, plugins)


class _Folder:
    """The sweep's folder: ``sweep.yaml`` (all points), ``points.jsonl`` (what became of each), ``sweep.json``."""

    def __init__(self, runs: Path, given: Sweep, plans: Sequence[Plan]):
        self.given, self.plans, self.runs = given, plans, runs
        points = zip(given.points, plans, strict=True)
        self.results = [Result(point, made.key, folder.name_of(made.recipe, made.key)) for point, made in points]
        key = digest([[dict(own.point.settings), own.key] for own in self.results])
        self.path = runs / f"sweep-{folder.named(given.title, key)}"
        self._came_to: set[int] = set()

    def begin(self) -> None:
        """All points as waiting, with what is known of an earlier start."""
        expanded = [
            {"settings": dict(own.settings), "recipe": own.file, "overrides": list(own.overrides), "run": result.run}
            for own, result in zip(self.given.points, self.results, strict=True)
        ]
        make_folder(self.path)
        with storage_errors(self.path):
            write_atomically(self.path / EXPANDED, yaml_text({"title": self.given.title, "points": expanded}))
            self._write()

    def order(self, processes: int) -> list[int]:
        """As the points are given; with several processes those that failed before come last."""
        numbers = range(len(self.results))
        if processes == 1:
            return list(numbers)
        return sorted(numbers, key=lambda number: self.results[number].status == "failed")

    def work(self) -> list[float]:
        """How long each point takes, in some unit: 0 if nothing is to be made."""
        store = Store(self.runs / "artifacts")
        return [0.0 if _complete(made, store) else _size(made.recipe) for made in self.plans]

    def seconds(self, number: int, outcomes: Sequence[Outcome]) -> float:
        """What the stages took that this point has and none before it."""
        before = {stage.key for made in self.plans[:number] for stage in made.stages}
        own = [outcome.artifact for outcome in outcomes if outcome.stage.key not in before]
        return float(sum(artifact.manifest["facts"]["seconds"] for artifact in own))

    def put(
        self, number: int, status: Literal["done", "failed"], seconds: float | None, error: str | None, main: bool
    ) -> None:
        """Remember and, on the main process, write what became of a point."""
        own = replace(self.results[number], status=status, seconds=seconds, error=error)
        self.results[number] = own
        self._came_to.add(number)
        if main:
            with storage_errors(self.path):
                self._write()
                if error is not None:
                    with open(self.path / FAILURES, "a", encoding="utf-8") as file:
                        file.write(f"{label(own.point.settings)}\n{traceback.format_exc()}\n")

    def finish(self, main: bool) -> Swept:
        done = [(own.point.settings, self.runs / own.run) for own in self.results if own.status == "done"]
        report = make_report(done) if main else Report()
        if main:
            value = {"title": self.given.title, "points": [own.record() for own in self.results], **report.record()}
            with storage_errors(self.path):
                report.write_csv(self.path / TABLE)
                write_atomically(self.path / RESULT, json.dumps(value, indent=1, ensure_ascii=False))
                write_sweep_report(self.path, self.path / REPORT)
        return Swept(self.path, tuple(self.results), report)

    def _write(self) -> None:
        """Points that this process has not come to are as the folder says: another one may do the same sweep."""
        path = self.path / POINTS
        with Store(self.runs / "artifacts").locked("sweep", self.path.name):
            before = {row["key"]: row for row in read_jsonl(path)} if path.is_file() else {}
            for number, own in enumerate(self.results):
                if number not in self._came_to and own.key in before:
                    row = before[own.key]
                    self.results[number] = replace(own, **{name: row[name] for name in ("status", "seconds", "error")})
            rows = "".join(json.dumps(own.record(), ensure_ascii=False) + "\n" for own in self.results)
            write_atomically(path, rows)


def _complete(made: Plan, store: Store) -> bool:
    found = (store.find(stage.name, stage.key, verify=False) for stage in made.stages)
    return all(artifact is not None and not artifact.unfinished for artifact in found)


def _size(recipe: Recipe) -> float:
    """Examples that training looks at; of data without a limit, epochs."""
    seen = 0.0
    for phase in recipe.phases:
        training = phase.training
        passes = training.epochs * (recipe.data.limit or 1)
        seen += training.steps * training.batch_size if training.steps else passes
    return seen


class _Clock:
    """Time left, by what the points took that were made so far: in proportion to their work, and once two kinds of
    points are known, by a line, since evaluation takes as long after little training."""

    def __init__(self, work: Sequence[float]):
        self._work = work
        self._took: list[tuple[float, float]] = []

    def took(self, number: int, seconds: float) -> None:
        if self._work[number]:
            self._took.append((self._work[number], seconds))

    def left(self, numbers: Sequence[int]) -> float | None:
        """Of these points; None before one was made."""
        if not self._took:
            return None
        work, seconds = zip(*self._took, strict=True)
        slope, start = (sum(seconds) / sum(work), 0.0) if len(set(work)) == 1 else linear_regression(work, seconds)
        return sum(max(0.0, start + slope * self._work[number]) for number in numbers if self._work[number])
