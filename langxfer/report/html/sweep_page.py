"""The page of a sweep, from its ``sweep.json``: curves with bands, means over seeds, crossings, failed points."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from langxfer.components import Score
from langxfer.errors import DataError
from langxfer.report.crossing import Place
from langxfer.report.figures import Figure, Series, line_chart
from langxfer.report.quantities import duration
from langxfer.report.seeds import Mean
from langxfer.report.settings import label
from langxfer.report.sweep import RESULT, ScoreName
from langxfer.report.tables import format_mean

LINES, CHARTS = 8, 12  # lines in a chart, and charts in a section of the page


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
        figures, means: of the main scores, which are those that methods could be compared in; of all without such.
        other_figures, other_means: of the others.
        crossings: score, method, place, interval, the other method, and its place.
    """

    title: str
    figures: tuple[Figure, ...]
    other_figures: tuple[Figure, ...]
    means: tuple[MeanTable, ...]
    other_means: tuple[MeanTable, ...]
    crossings: tuple[tuple[str, str, str, str, str, str], ...]
    points: tuple[PointLine, ...]
    notes: tuple[str, ...]

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
        main = {_name(own) for own in found["crossings"]} or {table.name for table in tables}
        return SweepPage(
            title=found["title"],
            figures=tuple(_figures([own for own in found["curves"] if _name(own) in main])),
            other_figures=tuple(_figures([own for own in found["curves"] if _name(own) not in main])),
            means=tuple(table for table in tables if table.name in main),
            other_means=tuple(table for table in tables if table.name not in main),
            crossings=tuple(_crossings(found)),
            points=tuple(map(_point, found["points"])),
            notes=tuple(found["notes"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / RESULT}: is damaged ({type(error).__name__}: {error}). The same langxfer sweep writes it anew."
        ) from None


def _figures(curves: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
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
