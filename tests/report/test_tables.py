"""Rows of scores: what their n says where before and after count other items."""

from __future__ import annotations

from langxfer.components import Evaluation, Score
from langxfer.report.comparison import compare
from langxfer.report.tables import how_compared, paired_rows
from tests.report.finished_values import HALF, MOST, shares


def lines(right: dict[str, float]) -> Evaluation:
    """A score over the items that have a value, as language_fidelity's ``lines``."""
    value = 100 * sum(right.values()) / len(right)
    rows = [{"id": name, "scores": {"f/lines": own}} for name, own in right.items()]
    rows += [{"id": name, "scores": {}} for name in "abcdefgh" if name not in right]
    return Evaluation([Score("f/lines", value, 1.0, len(right), "x", "%")], rows)


def test_n_says_how_many_a_change_is_of() -> None:
    before, after = lines(dict.fromkeys("abcdef", 1.0)), lines(dict.fromkeys("bcdefgh", 1.0) | {"c": 0.0})
    found = compare(before, after)
    (row,) = paired_rows({"f": before.scores}, {"f": after.scores}, found)
    assert row.n == "6 → 7 (5)" and row.change.startswith("-20.0 [")
    assert how_compared(found).endswith("n before → after (in both).")


def test_n_is_one_number_where_all_items_are_in_both() -> None:
    before, after = shares("quiz", {"de": HALF}), shares("quiz", {"de": MOST})
    found = compare(before, after)
    (row,) = paired_rows({"quiz": before.scores}, {"quiz": after.scores}, found)
    assert row.n == "20" and "in both" not in how_compared(found)
