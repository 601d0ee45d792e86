"""Scores of a run as rows, for the terminal and for the model card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langxfer.components import Score
from langxfer.report.comparison import LEVEL, Comparison

if TYPE_CHECKING:
    from langxfer.engine.run import Run
    from langxfer.report.finished import Scores
    from langxfer.report.seeds import Mean

TESTS = {"mcnemar": "McNemar", "bootstrap": "bootstrap"}


@dataclass(frozen=True)
class Row:
    """A score before and after, and what a paired test says of the two."""

    before: Score | None
    after: Score
    comparison: Comparison | None
    evaluator: str = ""

    @property
    def name(self) -> str:
        """Of the score; with the evaluator, where that is the second of its name or a later one."""
        name = self.after.name
        later = re.fullmatch(rf"{re.escape(name.partition('/')[0])}-\d+", self.evaluator)
        return f"{name} ({self.evaluator})" if later else name

    @property
    def change(self) -> str:
        """``difference [interval]``; of untested scores the bare difference; a star where a difference is shown."""
        digits = _digits(self.after)
        if self.comparison is not None and self.comparison.effect is not None:
            effect = self.comparison.effect
            star = " *" if self.comparison.shown else ""
            return f"{effect.difference:+.{digits}f} [{effect.low:+.{digits}f}, {effect.high:+.{digits}f}]{star}"
        if self.before is None or self.before.value is None or self.after.value is None:
            return ""
        return f"{self.after.value - self.before.value:+.{digits}f}"

    @property
    def n(self) -> str:
        """Items; where before and after have not all in common, ``before → after (in both)``."""
        effect = self.comparison.effect if self.comparison else None
        if self.before is None or effect is None or not self.comparison or not self.comparison.unpaired:
            return f"{self.after.n:,}"
        return f"{self.before.n:,} → {self.after.n:,} ({effect.n:,})"

    @property
    def p(self) -> str:
        """The adjusted p-value."""
        if self.comparison is None or self.comparison.adjusted_p is None:
            return ""
        return "<0.001" if self.comparison.adjusted_p < 0.001 else f"{self.comparison.adjusted_p:.3f}"


def score_rows(run: Run | Scores) -> Iterator[Row]:
    """Every score, before and after."""
    return paired_rows(run.before, run.after, run.comparisons)


def paired_rows(
    before: Mapping[str, Sequence[Score]], after: Mapping[str, Sequence[Score]], comparisons: Sequence[Comparison]
) -> Iterator[Row]:
    """Every score after, with the one before that has its name; both by evaluator."""
    for evaluator, scores in after.items():
        old = {score.name: score for score in before.get(evaluator, ())}
        for score in scores:
            first = old.get(score.name)
            own = (c for c in comparisons if c.second == score and c.first == first)
            yield Row(first, score, next(own, None), evaluator)


def how_compared(comparisons: Sequence[Comparison]) -> str:
    """What the changes, their p-values and ``n`` of the rows are; empty where nothing was tested."""
    text = how_tested("Changes", comparisons)
    if any(own.unpaired for own in comparisons if own.effect is not None):
        text += " A change is that of the items in both: n before → after (in both)."
    return text


def how_tested(what: str, comparisons: Sequence[Comparison]) -> str:
    """The same for other comparisons; ``what`` are the differences called."""
    found = [comparison for comparison in comparisons if comparison.effect is not None]
    if not found:
        return ""
    unpaired = sum(comparison.unpaired for comparison in found)
    tests = ", ".join(sorted({TESTS[own.effect.test] for own in found if own.effect}))
    text = (
        f"{what} with their 95 % intervals, by paired tests on the same items ({tests}): {len(found)} "
        f"comparisons, p adjusted for all of them (Holm). A star marks p < {LEVEL}; the others may be noise."
    )
    return text + (f" Items that count on one side alone were left out: {unpaired}." if unpaired else "")


def format_score(score: Score | None) -> str:
    """``value ± standard error``."""
    if score is None or score.value is None:
        return "–"
    digits = _digits(score)
    error = "" if score.standard_error is None else f" ± {score.standard_error:.{digits}f}"
    return f"{score.value:.{digits}f}{error}"


def format_mean(mean: Mean, like: Score) -> tuple[str, str]:
    """The mean and ``low to high``, with the digits of the score."""
    digits = _digits(like)
    value = "–" if mean.value is None else f"{mean.value:.{digits}f}"
    known = mean.low is not None and mean.high is not None
    return value, f"{mean.low:.{digits}f} to {mean.high:.{digits}f}" if known else ""


def _digits(score: Score) -> int:
    return 1 if score.unit == "%" else 3
