"""The page of compared runs: in what they differ first, then charts, then a table of methods for each evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from langxfer.report.figures import Figure, Series, bar_chart, left_out
from langxfer.report.methods import ComparedRuns, Measure, MethodTable

METHODS, COLUMNS = 8, 8  # in a chart; all are in the tables


@dataclass(frozen=True)
class MethodsPage:
    """``found`` says all but the charts, of the first measure of each table, and what they leave out."""

    title: str
    found: ComparedRuns
    figures: tuple[Figure, ...]
    left_out: str


def methods_page(found: ComparedRuns) -> MethodsPage:
    """The page; its title names the runs, as long as they are few."""
    names = found.differences.names or found.names
    title = " against ".join(names) if len(names) <= 4 else f"Comparison of {len(names)} runs"
    methods = max((len(table.measures[0].rows) for table in found.tables), default=0)
    columns = max((len(table.columns) for table in found.tables), default=0)
    figures = tuple(_figure(table, table.measures[0]) for table in found.tables)
    return MethodsPage(title, found, figures, left_out(methods=(METHODS, methods), columns=(COLUMNS, columns)))


def _figure(table: MethodTable, measure: Measure) -> Figure:
    """A group of bars for each column, a bar for each method; published numbers come without an interval."""
    columns = table.columns[:COLUMNS]
    series = list(_series(columns, measure))
    title = measure.heading if measure.name == table.evaluator else f"{table.evaluator}: {measure.heading}"
    return bar_chart(series, title=title, x=f"{measure.unit or 'value'}, 95 % intervals")


def _series(columns: tuple[str, ...], measure: Measure) -> Iterator[Series]:
    for row in measure.rows[:METHODS]:
        cells = [row.cells.get(name) for name in columns]
        low, high = zip(*(cell.interval if cell else (None, None) for cell in cells), strict=True)
        yield Series(row.method, columns, [cell and cell.score.value for cell in cells], low, high)
