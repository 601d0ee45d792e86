"""Scores of a run as rows, for the terminal and for the model card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from langxfer.components import Score

if TYPE_CHECKING:
    from langxfer.engine.run import Run


def score_rows(run: Run) -> Iterator[tuple[str, Score | None, Score]]:
    """``(name, before, after)`` of every score."""
    for evaluator, scores in run.after.items():
        old = {score.name: score for score in run.before.get(evaluator, ())}
        for score in scores:
            yield score.name, old.get(score.name), score


def format_score(score: Score | None) -> str:
    """``value ± standard error``."""
    if score is None or score.value is None:
        return "–"
    digits = 1 if score.unit == "%" else 3
    error = "" if score.standard_error is None else f" ± {score.standard_error:.{digits}f}"
    return f"{score.value:.{digits}f}{error}"
