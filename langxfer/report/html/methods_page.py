"""The page of compared runs: in what they differ first, then charts, then a table of methods for each evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from langxfer.report.figures import Figure, Series, bar_chart
from langxfer.report.html.scores import interval
from langxfer.report.methods import ComparedRuns, Measure, MethodTable

METHODS, COLUMNS = 8, 8  # in a chart; all are in the tables


@dataclass(frozen=True)
class MethodsPage:
    """``found`` says all but the charts, of the main measure of each evaluator."""

    title: str
    found: ComparedRuns
    figures: tuple[Figure, ...]


def methods_page(found: ComparedRuns) -> MethodsPage:
    """The page, with a title of its own."""
    return MethodsPage(" against ".join(found.names) if len(found.names) <= 4 else "Comparison", found, _figures(found))


def _figures(found: ComparedRuns) -> tuple[Figure, ...]:
    drawn: dict[str, Figure] = {}
    for table in found.tables:
        for measure in table.measures[:1]:
            drawn.setdefault(table.evaluator, _figure(table, measure))
    return tuple(drawn.values())


def _figure(table: MethodTable, measure: Measure) -> Figure:
    """A group of bars for each column, a bar for each method; published numbers come without an interval."""
    columns = table.columns[:COLUMNS]
    series = list(_series(columns, measure))
    return bar_chart(series, title=measure.heading, x=f"{measure.unit or 'value'}, 95 % intervals")


def _series(columns: tuple[str, ...], measure: Measure) -> Iterator[Series]:
    for row in measure.rows[:METHODS]:
        scores = [row.cells[name].score if name in row.cells else None for name in columns]
        low, high = zip(*map(interval, scores), strict=True)
        yield Series(row.method, columns, [score and score.value for score in scores], low, high)
