"""The page of a sweep, from its ``sweep.json``: curves or bars, means over seeds, crossings, failed points."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from langxfer.components import Score
from langxfer.errors import DataError
from langxfer.report.crossing import Place
from langxfer.report.figures import Figure, Series, bar_chart, left_out, line_chart
from langxfer.report.quantities import duration
from langxfer.report.score_names import split_name
from langxfer.report.seeds import Mean
from langxfer.report.settings import label
from langxfer.report.sweep import RESULT, ScoreName
from langxfer.report.tables import format_mean

LINES, CHARTS = 8, 12  # lines or bars of a group in a chart, and charts in a section of the page


@dataclass(frozen=True)
class MeanTable:
    """One score of all rows: label, mean, interval, what the interval allows for, seeds, items."""

    name: str
    unit: str
    rows: tuple[tuple[str, str, str, str, int, int], ...]


@dataclass(frozen=True)
class PointLine:
    """What became of a point of the sweep; ``error`` of one that failed."""

    settings: str
    run: str
    status: str
    time: str
    error: str


@dataclass(frozen=True)
class SweepPage:
    """All that the page says.

    Attributes:
        figures, means: of the main scores; bars where no setting is an axis.
        other_figures, other_means: of the others.
        crossings: score, method, place, interval, the other method, and its place.
        left_out: what is in no chart, in a sentence.
    """

    title: str
    figures: tuple[Figure, ...]
    other_figures: tuple[Figure, ...]
    means: tuple[MeanTable, ...]
    other_means: tuple[MeanTable, ...]
    crossings: tuple[tuple[str, str, str, str, str, str], ...]
    points: tuple[PointLine, ...]
    notes: tuple[str, ...]
    bars: bool
    left_out: str

    @property
    def failed(self) -> tuple[PointLine, ...]:
        return tuple(point for point in self.points if point.error)


def sweep_page(folder: Path) -> SweepPage:
    """The page of a sweep's folder.

    Raises:
        DataError: its ``sweep.json`` is damaged.
    """
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        tables = list(_means(found))
        main = _main(found)
        figures, others = (tuple(_drawn(found, keep)) for keep in (main.__contains__, lambda name: name not in main))
        return SweepPage(
            title=found["title"],
            figures=figures,
            other_figures=others,
            means=tuple(table for table in tables if table.name in main),
            other_means=tuple(table for table in tables if table.name not in main),
            crossings=tuple(_crossings(found)),
            points=tuple(map(_point, found["points"])),
            notes=tuple(found["notes"]),
            bars=not found["curves"],
            left_out=_left_out(found, main),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / RESULT}: is damaged ({type(error).__name__}: {error}). The same langxfer sweep writes it anew."
        ) from None


def _measures(table: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[str]]:
    """The scores of each evaluator, measure and unit: those of one evaluator differ in the language alone."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for own in (own for row in table for own in row["scores"]):
        names = found.setdefault((own["evaluator"], split_name(own["score"])[0], own["unit"]), [])
        if own["score"] not in names:
            names.append(own["score"])
    return found


def _main(found: Mapping[str, Any]) -> set[str]:
    """What methods cross in; of a sweep without an axis, the first measure of each evaluator; else everything."""
    if found["crossings"]:
        return {_name(own) for own in found["crossings"]}
    measures = _measures(found["table"])
    first = {} if found["curves"] else {own[0]: own for own in reversed(measures)}
    return {str(ScoreName(own[0], name)) for own in first.values() or measures for name in measures[own]}


def _bars(table: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """A chart for each measure, in it a group of bars for each language, in that a bar for each row."""
    for (evaluator, measure, unit), names in islice(_measures(table).items(), CHARTS):
        series = []
        for row in table[:LINES]:
            cells = {own["score"]: own for own in row["scores"] if own["evaluator"] == evaluator}
            shown = [cells.get(name, {}) for name in names[:LINES]]
            ends = ([own.get(key) for own in shown] for key in ("value", "low", "high"))
            series.append(Series(row["label"], [split_name(name)[1] for name in names[:LINES]], *ends))
        title = f"{evaluator}: {measure}" if measure else evaluator
        yield bar_chart(series, title=title, x=f"{unit or 'value'}, 95 % intervals")


def _drawn(found: Mapping[str, Any], keep: Callable[[str], bool]) -> Iterator[Figure]:
    if found["curves"]:
        return _curves([own for own in found["curves"] if keep(_name(own))])
    return _bars(
        [{**row, "scores": list(filter(lambda own: keep(_name(own)), row["scores"]))} for row in found["table"]]
    )


def _left_out(found: Mapping[str, Any], main: Collection[str]) -> str:
    """Of bars the rows that are not drawn, of curves the lines; the main scores have charts apart from the others."""
    if not found["curves"]:
        languages = max(map(len, _measures(found["table"]).values()), default=0)
        return left_out(rows=(LINES, len(found["table"])), languages=(LINES, languages))
    charts = Counter((own["setting"], _name(own)) for own in found["curves"])
    of_main = sum(score in main for _, score in charts)
    scores = max(of_main, len(charts) - of_main)
    return left_out(lines=(LINES, max(charts.values())), scores=(CHARTS, scores))


def _curves(curves: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """A chart for each score over each setting, as many as a page can bear."""
    for setting, score in islice(dict.fromkeys((own["setting"], _name(own)) for own in curves), CHARTS):
        lines = [own for own in curves if (own["setting"], _name(own)) == (setting, score)][:LINES]
        series = [Series(own["name"], own["x"], own["mean"], own["low"], own["high"], marked=True) for own in lines]
        logarithmic = all(value > 0 for own in lines for value in own["x"])
        yield line_chart(series, title=score, x=setting, y=lines[0]["unit"] or "value", log_x=logarithmic)


def _name(own: Mapping[str, Any]) -> str:
    return str(ScoreName(own["evaluator"], own["score"]))


def _means(found: Mapping[str, Any]) -> Iterator[MeanTable]:
    scores = {(own["evaluator"], own["score"]): own["unit"] for row in found["table"] for own in row["scores"]}
    for (evaluator, name), unit in scores.items():
        rows = []
        for row in found["table"]:
            for own in row["scores"]:
                if (own["evaluator"], own["score"]) == (evaluator, name):
                    mean = Mean(*(own[key] for key in ("value", "low", "high", "contains", "seeds", "n")))
                    value, interval = format_mean(mean, Score(name, mean.value, None, mean.n, own["signature"], unit))
                    rows.append((row["label"], value, interval, mean.contains, mean.seeds, mean.n))
        yield MeanTable(str(ScoreName(evaluator, name)), unit, tuple(rows))


def _crossings(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Where methods have the level that others have at their largest."""
    for own in found["crossings"]:
        if own["largest"] and own["place"]["side"] != "above":
            place, low, high = (Place(**own[key]) for key in ("place", "low", "high"))
            interval = f"{low} to {high}" + (" (items alone)" if own["seeds"] == 1 else "")
            yield _name(own), own["method"], f"{own['setting']} {place}", interval, own["other"], f"{own['at']:,g}"


def _point(row: Mapping[str, Any]) -> PointLine:
    return PointLine(
        label(row["settings"]),
        row["run"] or "",
        row["status"],
        "" if row["seconds"] is None else duration(row["seconds"]),
        row["error"] or "",
    )
