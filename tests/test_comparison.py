"""Comparisons of evaluations: pairs by item, refusals, what is marked, and how evaluators' rows give their scores."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from langxfer.components import Evaluation, Score
from langxfer.data import ParallelExample, Turn, View
from langxfer.errors import DataError
from langxfer.report.comparison import compare, compare_all, recorded
from langxfer.statistics import mcnemar, paired_bootstrap
from tests.builtin.test_held_out import HeldOut, evaluate, scored


def right(answers: Sequence[int | None], name: str = "quiz/de", how: str = "preset:a|questions:0a", **row: Any):
    """An evaluation of right (1) and wrong answers; None does not count."""
    counted = [answer for answer in answers if answer is not None]
    score = Score(name, 100 * sum(counted) / len(counted), 1.0, len(counted), f"{how}|n:{len(counted)}", "%")
    rows = [
        {"id": str(i), "language": "de", "scores": {} if answer is None else {name: answer}, **row}
        for i, answer in enumerate(answers)
    ]
    return Evaluation([score], rows)


def test_shares_are_paired_by_item() -> None:
    first, second = [0] * 12 + [1] * 8, [1] * 10 + [0] * 2 + [1] * 7 + [0]
    shuffled = right(second)
    random.Random(0).shuffle(list(shuffled.rows))
    (found,) = compare(right(first), Evaluation(shuffled.scores, list(reversed(shuffled.rows))))
    assert found.effect is not None
    assert (found.effect.difference, found.effect.n, found.effect.test) == (pytest.approx(45.0), 20, "mcnemar")
    assert found.effect.p == found.adjusted_p == mcnemar(1, 10)
    assert found.effect.low < 45 < found.effect.high < 100
    assert (found.shown, found.verdict) == (True, "better")
    (turned,) = compare(right(second), right(first))
    assert (turned.verdict, turned.record()["verdict"]) == ("worse", "worse")


def test_items_that_count_once_are_left_out() -> None:
    (found,) = compare(right([1, 0, None, 1, 1, 0]), right([1, 1, 1, None, 1, 0]))
    assert found.effect is not None
    assert (found.effect.n, found.unpaired) == (4, 2)
    assert found.verdict == "no difference shown"


def numbers(values: Sequence[float], unit: str) -> Evaluation:
    """An evaluation of values by item, which are shares where the unit is %."""
    scale = 100 if unit == "%" else 1
    rows = [{"id": str(i), "language": "de", "scores": {"quiz/de": value}} for i, value in enumerate(values)]
    return Evaluation([Score("quiz/de", scale * sum(values) / len(values), 1.0, len(values), "n:60", unit)], rows)


@pytest.mark.parametrize(("unit", "ends"), [("%", [-100.0, 100.0]), ("nats", [None, None])])
def test_an_interval_without_ends_is_null_and_shares_end_at_a_hundred(unit, ends) -> None:
    first, second = numbers([0.5] * 60, unit), numbers([0.5] * 58 + [0.9, 0.8], unit)
    (found,) = compare(first, second)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert [record["effect"][end] for end in ("low", "high")] == ends and not found.shown
    assert recorded([(first, second)], [record]) == [found]


def test_draws_without_a_denominator_count_as_far_away() -> None:
    first, second = [3.0] + [0.0] * 6, [5.0, 1.0] + [0.0] * 5
    found = paired_bootstrap(first, second, first_over=[4.0, 1.0] + [0.0] * 5, second_over=[5.0, 1.0] + [0.0] * 5)
    assert found is not None and found.p > 0.1 and found.low == -math.inf


def test_the_number_of_comparisons_decides_what_is_shown() -> None:
    """One test of p = 0.016 shows a difference; among four it does not."""
    first, second = right([0] * 7 + [1] * 5), right([1] * 12)
    assert compare(first, second)[0].shown
    found = compare_all([(first, second)] + [(right([1, 0] * 6), right([0, 1] * 6))] * 3)
    assert [own.adjusted_p for own in found] == pytest.approx([4 * 2 / 128, 1, 1, 1])
    assert not any(own.shown for own in found)


def test_refusals() -> None:
    with pytest.raises(DataError, match="4 and 5 items and have 4 in common"):
        compare(right([1, 0, 1, 1]), right([1, 0, 1, 1, 0]))
    with pytest.raises(DataError, match=r"quiz/de.*Different: preset \(a, b\), seed \(none, 1\)"):
        compare(right([1, 0]), right([1, 0], how="preset:b|questions:0a|seed:1"))
    with pytest.raises(DataError, match="item x occurs more than once"):
        compare(right([1, 0]), right([1, 0], id="x"))
    model = right([1, 0], how="preset:a|questions:0a|model:other")
    assert compare(right([1, 0]), model)[0].verdict == "no difference shown"


def test_scores_without_rows_are_not_tested() -> None:
    wrong = right([1, 0, 1])
    wrong = Evaluation([Score("quiz/de", 10.0, 1.0, 3, wrong.scores[0].signature, "%")], wrong.rows)
    (found,) = compare(wrong, right([1, 1, 1]))
    assert (found.effect, found.adjusted_p, found.verdict) == (None, None, "not tested")
    assert found.untested == "its rows do not give the score"
    empty = Evaluation([Score("quiz/de", None, None, 0, wrong.scores[0].signature, "%")], wrong.rows)
    assert compare(empty, empty)[0].untested == "a value is missing"


@pytest.mark.parametrize("scale", [1, 100])
def test_a_plain_score_is_that_of_its_language(scale: int) -> None:
    """Shares or percents; rows of other languages and other scores of the evaluator do not get in."""

    def made(answers: Sequence[int]) -> Evaluation:
        own = right(answers)
        rows = [{"id": r["id"], "language": "de", "score": scale * r["scores"]["quiz/de"]} for r in own.rows]
        other = [{"id": r["id"], "language": "sw", "score": 0.0} for r in own.rows]
        first = Score("quiz/de/first", own.scores[0].value, None, len(answers), own.scores[0].signature, "%")
        return Evaluation([*own.scores, first], [*rows, *other])

    main, first = compare(made([0] * 8 + [1]), made([1] * 9))
    assert main.effect is not None and main.effect.test == "mcnemar"
    assert main.effect.difference == pytest.approx(800 / 9)
    assert first.untested == "its rows do not give the score"


def test_held_out_rows_give_all_scores() -> None:
    """Two targets: the source answer counts once. Bits per byte are ratios of sums, compared as such."""
    generator = random.Random(4)
    examples = [
        ParallelExample(f"{n}-{tag}", Turn(f"q{n}", f"a{n}", "en"), Turn(f"{tag}{n}?", f"{tag}{n}!", tag))
        for n in range(6)
        for tag in ("de", "sw")
    ]
    numbers = [[-generator.uniform(1, 9) for _ in range(4)] for _ in examples]
    for n in range(0, len(examples), 2):  # one source answer, one likelihood
        numbers[n + 1][0] = numbers[n][0]
    sizes = [(3 + n // 2, 5 + n) for n in range(len(examples))]

    def measured(shift: float) -> Evaluation:
        found = [
            scored(tuple(x + shift * (i + 1) for i, x in enumerate(own)), size)
            for own, size in zip(numbers, sizes, strict=True)
        ]
        return evaluate(HeldOut(views=tuple(View)), examples, found)

    found = {own.second.name: own for own in compare(measured(0.0), measured(0.25))}
    assert len(found) == 7 + 8 and all(own.effect is not None for own in found.values())
    english = found["held_out/bits_per_byte/en"]
    assert english.effect is not None and english.effect.n == 6
    assert english.effect.difference == pytest.approx(english.second.value - english.first.value)
    assert english.effect.high < 0  # all items gained, and lower is better
    accuracy = found["held_out/preference_accuracy/en-over-de"].effect
    assert accuracy is not None and accuracy.test == "mcnemar"
    bits = [
        [row["scores"]["held_out/bits_per_byte/en"] for row in e.rows if "held_out/bits_per_byte/en" in row["scores"]]
        for e in (measured(0.0), measured(0.25))
    ]
    columns = [[pair[part] for pair in own] for own in bits for part in (0, 1)]
    alone = paired_bootstrap(columns[0], columns[2], first_over=columns[1], second_over=columns[3])
    assert alone is not None and alone.p == english.effect.p
