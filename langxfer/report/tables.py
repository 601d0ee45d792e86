"""Scores of a run as rows, for the terminal and for the model card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langxfer.components import Score
from langxfer.report.comparison import LEVEL, Comparison

if TYPE_CHECKING:
    from langxfer.engine.run import Run
    from langxfer.report.finished import Scores


@dataclass(frozen=True)
class Row:
    """A score before and after, and what a paired test says of the two."""

    before: Score | None
    after: Score
    comparison: Comparison | None

    @property
    def name(self) -> str:
        return self.after.name

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
    def p(self) -> str:
        """The adjusted p-value."""
        if self.comparison is None or self.comparison.adjusted_p is None:
            return ""
        return "<0.001" if self.comparison.adjusted_p < 0.001 else f"{self.comparison.adjusted_p:.3f}"


def score_rows(run: Run | Scores) -> Iterator[Row]:
    """Every score, before and after."""
    for evaluator, scores in run.after.items():
        old = {score.name: score for score in run.before.get(evaluator, ())}
        for score in scores:
            before = old.get(score.name)
            own = (c for c in run.comparisons if c.second == score and c.first == before)
            yield Row(before, score, next(own, None))


def how_compared(run: Run | Scores) -> str:
    """What the intervals and p-values are; empty where nothing was tested."""
    found = [comparison for comparison in run.comparisons if comparison.effect is not None]
    if not found:
        return ""
    unpaired = sum(comparison.unpaired for comparison in found)
    text = (
        f"Changes with their 95 % intervals, by paired tests on the same items (McNemar, bootstrap): {len(found)} "
        f"comparisons, p adjusted for all of them (Holm). A star marks p < {LEVEL}; the others may be noise."
    )
    return text + (f" {unpaired} items that count on one side alone were left out." if unpaired else "")


def format_score(score: Score | None) -> str:
    """``value ± standard error``."""
    if score is None or score.value is None:
        return "–"
    digits = _digits(score)
    error = "" if score.standard_error is None else f" ± {score.standard_error:.{digits}f}"
    return f"{score.value:.{digits}f}{error}"


def _digits(score: Score) -> int:
    return 1 if score.unit == "%" else 3
