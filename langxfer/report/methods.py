"""Several runs beside each other, as values: a row for each method, a column for each language, each against one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from langxfer.components import Score
from langxfer.report.comparison import Comparison
from langxfer.report.recipe_differences import RecipeDifferences
from langxfer.report.tables import Row, format_score, how_tested

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Cell:
    """A score of a method.

    Attributes:
        against: the baseline's; None for the baseline itself, and where it has none.
        comparison: of the two; None where they were not compared.
        obstacle: why they cannot be compared.
        interval: the 95 % interval of the score, which allows for the items; None for an end that is not known.
    """

    score: Score
    against: Score | None = None
    comparison: Comparison | None = None
    obstacle: str | None = None
    interval: tuple[float | None, float | None] = (None, None)

    @property
    def value(self) -> str:
        """``value ± standard error``."""
        return format_score(self.score)

    @property
    def change(self) -> str:
        """The difference to the baseline with its interval, and a star where it is more than noise."""
        return NOT_COMPARABLE if self.obstacle else Row(self.against, self.score, self.comparison).change

    @property
    def difference(self) -> float | None:
        """To the baseline, tested or not; None where there is none, or the two are not comparable."""
        if self.comparison is not None and self.comparison.effect is not None:
            return self.comparison.effect.difference
        known = self.against is not None and self.against.value is not None and self.score.value is not None
        return self.score.value - self.against.value if known and not self.obstacle else None  # type: ignore

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        compared = self.comparison.record() if self.comparison else None
        own: dict[str, Any] = {"score": asdict(self.score), "interval": list(self.interval)}
        own["difference"] = self.difference
        return {**own, "comparison": compared, "obstacle": self.obstacle}


@dataclass(frozen=True)
class MethodRow:
    """The scores of a method by column; ``source`` says where a published number is from."""

    method: str
    cells: Mapping[str, Cell]
    source: str | None = None


@dataclass(frozen=True)
class Measure:
    """One measure of an evaluator, by several methods; the main one has the evaluator's name."""

    name: str
    unit: str
    higher_is_better: bool | None
    rows: tuple[MethodRow, ...]

    @property
    def heading(self) -> str:
        """Name, unit, and an arrow to where it is better."""
        unit = f" ({self.unit})" if self.unit not in ("", self.name) else ""
        return self.name + unit + {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class MethodTable:
    """The measures of an evaluator that have the same columns, which are languages where names of scores tell them.

    ``part``: whether the evaluator has more of these.
    """

    evaluator: str
    columns: tuple[str, ...]
    measures: tuple[Measure, ...]
    part: bool = False

    @property
    def title(self) -> str:
        """The evaluator; with the measures, where it has tables with other columns too."""
        return f"{self.evaluator}: {', '.join(own.name for own in self.measures)}" if self.part else self.evaluator


@dataclass(frozen=True)
class ComparedRuns:
    """Several runs, compared.

    Attributes:
        names: of the rows, published ones apart.
        baseline: the one that the others are compared with.
        differences: in what the runs differ.
        tables: at least one for every evaluator.
        notes: what could not be compared or tested, and why; what must be read beside published numbers.
    """

    names: tuple[str, ...]
    baseline: str
    differences: RecipeDifferences
    tables: tuple[MethodTable, ...]
    notes: tuple[str, ...] = ()

    def cells(self) -> Iterator[tuple[MethodTable, Measure, MethodRow, str, Cell]]:
        """Every number, with where it stands and its column."""
        for table in self.tables:
            for measure in table.measures:
                for row in measure.rows:
                    for column, cell in row.cells.items():
                        yield table, measure, row, column, cell

    @property
    def tests(self) -> str:
        """How many comparisons there are, and by which tests; and what the arrows mean."""
        found = [cell.comparison for *_, cell in self.cells() if cell.comparison]
        tests = how_tested(f"Differences to {self.baseline}", found) or "Nothing could be tested."
        return f"Values ± standard error; ↑ higher is better, ↓ lower is better. {tests}"

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                **{"evaluator": table.evaluator, "measure": measure.name, "column": column},
                **{"method": row.method, "published": row.source is not None, **cell.record()},
            }
            for table, measure, row, column, cell in self.cells()
        ]
        head = {"names": list(self.names), "baseline": self.baseline, **self.differences.record()}
        return {**head, "tests": self.tests, "scores": rows, "notes": list(self.notes)}
