"""What the points of a sweep say together: means over seeds, curves over a number, and where methods cross."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import cached_property
from math import isclose
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation, Score
from langxfer.errors import DataError
from langxfer.report.comparison import Contribution, check_comparable, contributions
from langxfer.report.crossing import Crossing, crossings
from langxfer.report.finished import Finished, read_finished
from langxfer.report.seeds import Mean, over_seeds
from langxfer.report.settings import label, short_label, short_names, value_text, without_seed

EXPANDED, RESULT, TABLE = "sweep.yaml", "sweep.json", "table.csv"  # files of its folder
BEFORE = "before training"
ROUNDING = 1e-5  # of a mean over items on different machines, in relation to it
Settings = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class ScoreName:
    """A score, and the evaluator that gives it; the second evaluator of a name is ``NAME-2``."""

    evaluator: str
    score: str

    def __str__(self) -> str:
        """The score's name, which begins with its evaluator's unless that is the second of its name."""
        return self.score if self.score.partition("/")[0] == self.evaluator else f"{self.evaluator}: {self.score}"


@dataclass(frozen=True)
class Cell:
    """A score of one row of the table; ``like`` is that of the first seed, for unit and direction."""

    name: ScoreName
    like: Score
    mean: Mean


@dataclass(frozen=True)
class Row:
    """The points that differ in seeds alone; or, ``before``, the model before training."""

    settings: Settings
    cells: tuple[Cell, ...]
    before: bool = False

    @property
    def label(self) -> str:
        return BEFORE if self.before else label(self.settings)


@dataclass(frozen=True)
class Curve:
    """A score over a setting that is a number.

    Attributes:
        name: the other settings, in words.
        setting: path of the number.
        x, mean, low, high, seeds: of every point, x rising; None for the ends of an interval that nobody knows.
    """

    name: str
    setting: str
    evaluator: str
    score: str
    unit: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Crossed:
    """A crossing on the curves of one score over one setting."""

    setting: str
    evaluator: str
    score: str
    unit: str
    crossing: Crossing
    largest: bool

    def record(self) -> dict[str, Any]:
        own = asdict(self.crossing)
        return {
            **{name: getattr(self, name) for name in ("setting", "evaluator", "score", "unit", "largest")},
            **own,
            "status": self.crossing.status,
        }


@dataclass(frozen=True)
class Report:
    """What a sweep found.

    Attributes:
        rows: one for all points that differ in seeds alone, after that of the model before training, if they share it.
        notes: what could not be computed, and why.
    """

    rows: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    crossings: tuple[Crossed, ...] = ()
    notes: tuple[str, ...] = ()

    def write_csv(self, path: Path) -> None:
        """A line for each row and score."""
        settings = list(dict.fromkeys(name for row in self.rows for name in row.settings))
        with open(path, "w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["points", *settings, "evaluator", "score", "unit", *(field.name for field in fields(Mean))])
            for row in self.rows:
                own = [value_text(row.settings[name]) if name in row.settings else "" for name in settings]
                for cell in row.cells:
                    lines.writerow(
                        [row.label, *own, cell.name.evaluator, cell.name.score, cell.like.unit, *astuple(cell.mean)]
                    )

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "table": [
                {
                    "settings": dict(row.settings),
                    "label": row.label,
                    "before": row.before,
                    "scores": [_cell_record(cell) for cell in row.cells],
                }
                for row in self.rows
            ],
            "curves": [asdict(curve) for curve in self.curves],
            "crossings": [crossed.record() for crossed in self.crossings],
            "notes": list(self.notes),
        }


def _cell_record(cell: Cell) -> dict[str, Any]:
    own = {"evaluator": cell.name.evaluator, "score": cell.name.score, "unit": cell.like.unit}
    return {
        **own,
        "higher_is_better": cell.like.higher_is_better,
        "signature": cell.like.signature,
        **asdict(cell.mean),
    }


def make_report(done: Sequence[tuple[Settings, Path]]) -> Report:
    """Read the runs of a sweep and put them together.

    Args:
        done: settings and run folder of every point that is finished.

    Raises:
        DataError: a run folder is damaged.
    """
    return report_of([(settings, read_finished(path)) for settings, path in done])


def report_of(points: Sequence[tuple[Settings, Finished]]) -> Report:
    """The same of runs that were read."""
    groups: dict[str, _Group] = {}
    for settings, finished in points:
        own = without_seed(settings)
        groups.setdefault(json.dumps(own, sort_keys=True), _Group(own)).runs.append(finished)
    found = list(groups.values())
    rows = [*_before(points), *(Row(own.settings, tuple(own.cells.values())) for own in found)]
    curves: list[Curve] = []
    crossed: list[Crossed] = []
    refused: dict[str, list[str]] = {}
    notes = list(dict.fromkeys(_missing(points)))
    for setting in _numeric(found):
        placed = [own for own in found if _is_number(own.settings.get(setting))]
        if any(own.settings.get(setting, 0) is None for own in found):
            notes.append(f"Points with {setting}=null have no place on that axis; they are in the table alone.")
        for name in dict.fromkeys(name for own in found for name in own.scores):
            family = _Family(setting, name, [own for own in placed if name in own.scores])
            curves += family.curves()
            try:
                crossed += family.crossings()
            except DataError as error:
                refused.setdefault(f"{setting}: {error}", []).append(str(name))
    notes += [f"No crossings over {why} ({_some(names)})" for why, names in refused.items()]
    return Report(tuple(rows), tuple(curves), tuple(crossed), tuple(notes))


def _missing(points: Sequence[tuple[Settings, Finished]]) -> Iterator[str]:
    """Evaluations without some of their items, whose scores are of the others."""
    for settings, finished in points:
        for when, who in (("before", BEFORE), ("after", label(settings))):
            for evaluator, why in finished.unfinished(when):
                yield f"{who}: {evaluator} is incomplete: {why}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class _Group:
    """Runs that differ in seeds alone."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.runs: list[Finished] = []

    @cached_property
    def scores(self) -> dict[ScoreName, list[tuple[Score, Evaluation]]]:
        """Of every score the values of all seeds, with the evaluations that they are of."""
        return _by_score([run.after for run in self.runs])

    @cached_property
    def rows(self) -> dict[ScoreName, list[dict[str, Contribution] | None]]:
        """What the items add to every score, by seed."""
        return {name: [contributions(*one) for one in own] for name, own in self.scores.items()}

    @cached_property
    def cells(self) -> dict[ScoreName, Cell]:
        """The means over seeds."""
        return {
            name: Cell(name, own[0][0], over_seeds([score for score, _ in own], self.rows[name]))
            for name, own in self.scores.items()
        }


def _by_score(runs: Sequence[Mapping[str, Evaluation]]) -> dict[ScoreName, list[tuple[Score, Evaluation]]]:
    found: dict[ScoreName, list[tuple[Score, Evaluation]]] = {}
    for evaluations in runs:
        for evaluator, evaluation in evaluations.items():
            for score in evaluation.scores:
                found.setdefault(ScoreName(evaluator, score.name), []).append((score, evaluation))
    return found


def _before(points: Sequence[tuple[Settings, Finished]]) -> list[Row]:
    """The model before training, if it is the same for all points, but for rounding, and measured alike."""
    runs = [finished.before for _, finished in points]
    if not runs or not all(_alike(_scores(other), _scores(runs[0])) for other in runs):
        return []
    cells = [
        Cell(name, score, over_seeds([score], [contributions(score, evaluation)]))
        for name, ((score, evaluation),) in _by_score(runs[:1]).items()
    ]
    return [Row({}, tuple(cells), before=True)] if cells else []


def _scores(evaluations: Mapping[str, Evaluation]) -> dict[ScoreName, Score]:
    return {ScoreName(name, score.name): score for name, own in evaluations.items() for score in own.scores}


def _alike(one: Mapping[ScoreName, Score], other: Mapping[ScoreName, Score]) -> bool:
    def same(first: Score, second: Score) -> bool:
        values = first.value, second.value
        close = values[0] == values[1] or (None not in values and isclose(*values, rel_tol=ROUNDING, abs_tol=ROUNDING))
        return close and (first.signature, first.n, first.unit) == (second.signature, second.n, second.unit)

    return one.keys() == other.keys() and all(same(score, other[name]) for name, score in one.items())


def _numeric(groups: Sequence[_Group]) -> list[str]:
    """Settings that are numbers, or null, wherever they are given, with several numbers. A seed is no quantity."""
    paths = dict.fromkeys(path for own in groups for path in own.settings if path.rpartition(".")[2] != "seed")
    given = {path: [own.settings[path] for own in groups if path in own.settings] for path in paths}
    values = {path: [value for value in own if value is not None] for path, own in given.items()}
    return [path for path, own in values.items() if all(map(_is_number, own)) and len(set(own)) > 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exactly(settings: Settings) -> str:
    """Settings, in whatever order, as a text that no others have."""
    return ", ".join(f"{path}={json.dumps(settings[path], sort_keys=True)}" for path in sorted(settings))


class _Family:
    """The curves of one score over one setting, by the other settings."""

    def __init__(self, setting: str, name: ScoreName, groups: Sequence[_Group]):
        self.setting, self.name = setting, name
        self.methods: dict[str, list[_Group]] = {}
        names = self._names(groups)
        for own in sorted(groups, key=lambda own: own.settings[setting]):
            self.methods.setdefault(names[_exactly(self._others(own))], []).append(own)

    def _others(self, group: _Group) -> Settings:
        """The settings that are the same for all points of a curve."""
        return {path: own for path, own in group.settings.items() if path != self.setting}

    def _names(self, groups: Sequence[_Group]) -> dict[str, str]:
        """What people call a curve: the values of the other settings; exactly, where two would be called alike."""
        short = short_names(path for own in groups for path in own.settings)
        curves = {_exactly(others): others for others in map(self._others, groups)}
        names = [short_label(others, short) or str(self.name) for others in curves.values()]
        return {own: name if names.count(name) == 1 else own for own, name in zip(curves, names, strict=True)}

    def curves(self) -> Iterator[Curve]:
        for method, groups in self.methods.items():
            points = [(own, own.cells[self.name]) for own in groups]
            known = [(own, cell.like, cell.mean) for own, cell in points if cell.mean.value is not None]
            if len(known) > 1:
                yield Curve(
                    method,
                    self.setting,
                    self.name.evaluator,
                    self.name.score,
                    known[0][1].unit,
                    tuple(own.settings[self.setting] for own, _, _ in known),
                    tuple(mean.value or 0.0 for _, _, mean in known),
                    tuple(mean.low for _, _, mean in known),
                    tuple(mean.high for _, _, mean in known),
                    tuple(mean.seeds for _, _, mean in known),
                )

    def crossings(self) -> Iterator[Crossed]:
        """Between every two methods.

        Raises:
            DataError: the points are not measured alike, or their items do not give the score.
        """
        methods = {method: own for method, own in self.methods.items() if len(own) > 1}
        every = [own for groups in methods.values() for own in groups]
        like = every[0].scores[self.name][0][0] if every else None
        if len(methods) < 2 or like is None or like.higher_is_better is None:
            return
        self._check(every)
        points = {
            method: {own.settings[self.setting]: self._rows(own) for own in groups}
            for method, groups in methods.items()
        }
        found = crossings(points, higher_is_better=like.higher_is_better, scale=100 if like.unit == "%" else 1)
        largest = {method: max(own) for method, own in points.items()}
        for crossing in found:
            at_largest = crossing.at == largest[crossing.other]
            yield Crossed(self.setting, self.name.evaluator, self.name.score, like.unit, crossing, at_largest)

    def _rows(self, group: _Group) -> list[dict[str, Contribution]]:
        rows = group.rows[self.name]
        if any(score.value is None for score, _ in group.scores[self.name]):
            raise DataError("a value is missing.")
        if any(own is None for own in rows):
            raise DataError("its rows do not give the score.")
        return [own for own in rows if own is not None]

    def _check(self, groups: Sequence[_Group]) -> None:
        """One score at a time: others of the evaluator may differ in how they are measured."""
        if any(own.settings[self.setting] <= 0 for own in groups):
            raise DataError("the scale is logarithmic, and not all values are above 0.")
        own = [replace(evaluation, scores=[score]) for group in groups for score, evaluation in group.scores[self.name]]
        for other in own[1:]:
            check_comparable(own[0], other)
