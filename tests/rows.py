"""Whether an evaluation's rows say what its scores are made of, so that two models can be compared by a test."""

from __future__ import annotations

from langxfer.components import Evaluation
from langxfer.report.comparison import compare


def untested(evaluation: Evaluation) -> set[str]:
    """The names of the scores that have a value, and rows which do not give it."""
    found = compare(evaluation, evaluation)
    return {own.second.name for own in found if own.untested == "its rows do not give the score"}
