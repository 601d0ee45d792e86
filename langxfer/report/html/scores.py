"""Scores in a page: what changed, in words; every score; and a chart for each evaluator and unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from langxfer.components import Evaluation, Score
from langxfer.errors import DataError
from langxfer.report.comparison import Comparison, compare_all
from langxfer.report.figures import Figure, Series, bar_chart
from langxfer.report.finished import Finished
from langxfer.report.seeds import interval_of
from langxfer.report.tables import Row, how_compared, paired_rows

BARS = 12  # main scores of an evaluator, and
SAID = 8  # changes said in words; all are in the table


@dataclass(frozen=True)
class EvaluatorScores:
    """The scores of an evaluator: the main ones, which are drawn too, and the others."""

    name: str
    rows: tuple[Row, ...]
    others: tuple[Row, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Scores:
    """The scores of a run or of an evaluation.

    Attributes:
        summary: what the tests say of all of them, in a sentence; empty without tests.
        changes: rows in which a difference is shown, the better ones first.
        unsaid: how many more there are.
        tested: how intervals and p-values came about; empty without tests.
        untested: why there are no tests although there are two evaluations; empty otherwise.
    """

    evaluators: tuple[EvaluatorScores, ...]
    summary: str
    changes: tuple[Row, ...]
    unsaid: int
    tested: str
    untested: str


def scores_of(finished: Finished, comparisons: Sequence[Comparison] | None = None) -> Scores:
    """Scores with their tests; ``comparisons`` are those of before and after, where they are known already."""
    untested = ""
    if comparisons is None:
        try:
            comparisons = compare_all(
                [(finished.before[n], own) for n, own in finished.after.items() if finished.before]
            )
        except DataError as error:
            comparisons, untested = [], f"Before and after are shown without tests: {error}"
    before, after = (
        {name: list(own.scores) for name, own in found.items()} for found in (finished.before, finished.after)
    )
    evaluators = [
        _evaluator(name, tuple(paired_rows(before, {name: own}, comparisons)), finished) for name, own in after.items()
    ]
    changes = sorted(
        (row for own in evaluators for row in (*own.rows, *own.others) if row.comparison and row.comparison.shown),
        key=lambda row: ("better", "worse", "different").index(row.comparison.verdict if row.comparison else ""),
    )
    tested = how_compared(comparisons)
    shown, unsaid = tuple(changes[:SAID]), len(changes[SAID:])
    return Scores(tuple(evaluators), _summary(comparisons), shown, unsaid, tested, untested)


def _summary(comparisons: Sequence[Comparison]) -> str:
    verdicts = [own.verdict for own in comparisons if own.effect is not None]
    if not verdicts:
        reasons = ", ".join(dict.fromkeys(own.untested for own in comparisons if own.untested))
        return f"No change could be tested: {reasons}." if reasons else ""
    words = {"better": "better", "worse": "worse", "different": "different"}
    found = [f"{verdicts.count(verdict)} {word}" for verdict, word in words.items() if verdict in verdicts]
    rest = verdicts.count("no difference shown")
    text = f"{len(verdicts)} score{'s' if len(verdicts) > 1 else ''} tested, after training against before: "
    if not found:
        return text + "no difference is shown. With so few items, or changes so small, they may be noise."
    return text + ", ".join(found) + (f", and {rest} without a difference that is shown." if rest else ".")


def _evaluator(name: str, rows: Sequence[Row], finished: Finished) -> EvaluatorScores:
    """The main scores are those that were tested; where none was, the first ones."""
    tested = [row for row in rows if row.comparison is not None and row.comparison.effect is not None]
    main = (tested or list(rows))[:BARS]
    drawn = sorted((row for row in main if row.after.value is not None), key=lambda row: row.after.unit)
    both = {"before": finished.before.get(name), "after": finished.after[name]}
    figures = tuple(
        _figure(name, unit, list(own), both) for unit, own in groupby(drawn, key=lambda row: row.after.unit)
    )
    return EvaluatorScores(name, tuple(main), tuple(row for row in rows if row not in main), figures)


def _figure(evaluator: str, unit: str, rows: Sequence[Row], evaluations: Mapping[str, Evaluation | None]) -> Figure:
    names = [row.name.removeprefix(f"{row.name.partition('/')[0]}/") for row in rows]
    sides: Mapping[str, list[Score | None]] = {
        "before": [row.before for row in rows],
        "after": [row.after for row in rows],
    }
    series = []
    for side, scores in sides.items():
        ends = [(None, None) if score is None else interval_of(score, evaluations[side]) for score in scores]
        low, high = zip(*ends, strict=True)
        series.append(Series(side, names, [score and score.value for score in scores], low, high))
    if not any(sides["before"]):
        series = [replace(series[1], name="value")]
    return bar_chart(
        series, title=f"{evaluator} ({unit})" if unit else evaluator, x=f"{unit or 'value'}, 95 % intervals"
    )
