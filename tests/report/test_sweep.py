"""Means over seeds, curves and crossings, on made-up runs whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.components import Evaluation, Score
from langxfer.report.comparison import contributions
from langxfer.report.crossing import crossings, reached
from langxfer.report.finished import Finished
from langxfer.report.seeds import over_seeds
from langxfer.report.settings import label, short_names, value_text, without_seed
from langxfer.report.sweep import report_of
from langxfer.statistics import ratio, wilson


def evaluation(values: Sequence[float], name: str = "quiz/de", unit: str = "", **score: Any) -> Evaluation:
    """One number an item; the score is their mean, in percent where the unit says so."""
    scale = 100 if unit == "%" else 1
    value, error = scale * float(np.mean(values)), scale * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    rows = [{"id": str(number), "scores": {name: float(own)}} for number, own in enumerate(values)]
    return Evaluation([Score(name, value, error, len(values), f"preset:a|n:{len(values)}", unit, **score)], rows)


def mean_of(runs: Sequence[Evaluation]):
    return over_seeds([own.scores[0] for own in runs], [contributions(own.scores[0], own) for own in runs])


# ---------------------------------------------------------------- means over seeds


def test_with_one_seed_the_interval_is_that_of_the_items_and_says_so() -> None:
    own = evaluation([1.0, 2.0, 4.0, 5.0])
    found = mean_of([own])
    error = own.scores[0].standard_error
    assert (found.value, found.seeds, found.n, found.contains) == (3.0, 1, 4, "items")
    assert error is not None and found.low == pytest.approx(3 - 1.959964 * error)


def test_two_way_variance_by_hand() -> None:
    """Two seeds, three items: V_seeds + V_items - V_both, and Student's t for Satterthwaite's freedom."""
    from scipy.stats import t

    y = np.array([[1.0, 2.0, 6.0], [2.0, 5.0, 8.0]])
    found = mean_of([evaluation(row) for row in y])
    seeds = np.var(y.mean(1), ddof=1) / 2
    items = np.var(y.mean(0), ddof=1) / 3
    rest = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    both = (rest**2).sum() / ((2 - 1) * (3 - 1)) / 6
    variance = max(seeds + items - both, seeds, items)
    freedom = variance**2 / (seeds**2 / 1 + items**2 / 2)
    assert found.value == pytest.approx(4.0) and found.contains == "seeds and items"
    assert found.high == pytest.approx(4.0 + t.ppf(0.975, freedom) * math.sqrt(variance))


def test_seeds_that_agree_leave_the_noise_of_the_items() -> None:
    values = [0.5, 1.5, 2.0, 9.0, 3.0, 1.0]
    one, three = mean_of([evaluation(values)]), mean_of([evaluation(values)] * 3)
    assert three.value == one.value and (three.seeds, three.n) == (3, 6)
    assert three.high > one.high  # Student's t of five degrees of freedom, in place of the normal


def test_ratios_are_moved_by_items_as_the_delta_method_says() -> None:
    numerators, denominators = [3.0, 5.0, 1.0, 4.0], [2.0, 3.0, 2.0, 1.0]
    value, error = ratio(numerators, denominators)
    rows = [
        {"id": str(i), "scores": {"bits": [a, b]}}
        for i, (a, b) in enumerate(zip(numerators, denominators, strict=True))
    ]
    own = Evaluation([Score("bits", value, error, 4, "x")], rows)
    found = mean_of([own, own])
    from scipy.stats import t

    assert error is not None and value is not None
    assert found.high == pytest.approx(value + t.ppf(0.975, 3) * error)


def test_shares_stay_between_0_and_100_and_have_a_width_at_the_ends() -> None:
    sure = mean_of([evaluation([1.0] * 20, unit="%")] * 2)
    assert (sure.low, sure.high) == (pytest.approx(100 * wilson(20, 20)[0]), 100.0)
    one = mean_of([evaluation([1.0] * 19 + [0.0], unit="%")])
    assert (one.low, one.high) == tuple(pytest.approx(100 * end) for end in wilson(19, 20))
    unsure = mean_of([evaluation([1.0, 0.0, 0.0, 0.0], unit="%"), evaluation([0.0, 0.0, 0.0, 1.0], unit="%")])
    assert unsure.low == 0.0 and unsure.high is not None and unsure.high <= 100


def test_without_rows_the_standard_error_stands_for_the_items() -> None:
    scores = [Score("s", value, error, 50, "x") for value, error in ((1.0, 0.5), (2.0, 0.7))]
    found = over_seeds(scores, [None, None])
    assert found.contains == "seeds and items"
    bare = over_seeds([Score("s", own.value, None, 50, "x") for own in scores], [None, None])
    assert bare.contains == "seeds" and bare.high is not None and found.high is not None
    assert bare.high == pytest.approx(1.5 + 12.7062 * 0.5)  # t of one degree of freedom
    lost = over_seeds([Score("s", None, None, 0, "x"), scores[1]], [None, None])
    assert (lost.value, lost.seeds) == (2.0, 1)
    assert over_seeds([Score("s", None, None, 0, "x")], [None]).value is None


@pytest.mark.parametrize(("k", "lowest"), [(2, 0.86), (3, 0.9), (5, 0.92)])
@pytest.mark.parametrize("of_seeds", [0.0, 0.1, 0.3])
def test_intervals_hold_the_truth_as_often_as_they_say(k: int, lowest: float, of_seeds: float) -> None:
    """Seeds, items and the rest are random; the truth is 0."""
    generator, held = np.random.default_rng(k), 0
    for _ in range(300):
        y = generator.normal(0, of_seeds, (k, 1)) + generator.normal(0, 1, (1, 60)) + generator.normal(0, 1, (k, 60))
        found = mean_of([evaluation(row) for row in y])
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert lowest <= held / 300 <= 0.997


# ---------------------------------------------------------------- crossings


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    st.floats(-6, 6),
)
def test_the_place_is_the_first_on_straight_lines_over_the_logarithm(curve: list[float], level: float) -> None:
    axis = 100 * 2.0 ** np.arange(len(curve))
    (place,) = reached(axis, np.array([curve]), np.array([level]))
    if max(curve) < level:
        assert place == math.inf
    elif curve[0] >= level:
        assert place == -math.inf
    else:
        there = float(np.interp(math.log(place), np.log(axis), curve))
        assert there == pytest.approx(level, abs=1e-6)
        assert all(value < level for x, value in zip(axis, curve, strict=True) if x < place * (1 - 1e-9))


AXIS = (200, 400, 800, 1600)


def quiz(generator: np.random.Generator, k: int, n: int, noise: float) -> dict[str, dict[float, list[Mapping]]]:
    """Two methods, logistic in log2(x): B has at 1600 what A has at 1600 / 2^1.5. Items differ in difficulty."""
    difficulty = generator.normal(0, 1, n)

    def runs(start: float, x: float) -> list[Mapping[str, tuple[float, float]]]:
        found = []
        for _ in range(k):
            logit = start + 0.5 * math.log2(x / 200) + generator.normal(0, noise) + difficulty
            right = generator.random(n) < 1 / (1 + np.exp(-logit))
            found.append({str(number): (float(own), 1.0) for number, own in enumerate(right)})
        return found

    return {name: {x: runs(start, x) for x in AXIS} for name, start in (("A", -1.0), ("B", -1.75))}


TRUTH = 1600 / 2**1.5
LINES = (("A", 0.0), ("B", -0.75))


@pytest.mark.parametrize(("k", "noise"), [(1, 0.0), (3, 0.1)])
def test_intervals_of_crossings_hold_the_truth(k: int, noise: float) -> None:
    generator, held, found = np.random.default_rng(5), 0, []
    for _ in range(60):
        own = crossings(quiz(generator, k, 300, noise), resamples=200)
        (crossing,) = [one for one in own if (one.method, one.at) == ("A", 1600)]
        low = 0.0 if crossing.low.side == "below" else crossing.low.x
        high = math.inf if crossing.high.side == "above" else crossing.high.x
        held += low <= TRUTH <= high
        found.append(crossing.place.x)
        assert (crossing.items, crossing.seeds) == (300, k)
    assert held >= 53  # 57 of 60 are 95 %
    assert np.median(found) == pytest.approx(TRUTH, rel=0.12)


@pytest.mark.parametrize("k", [2, 3])
def test_intervals_of_crossings_hold_the_truth_where_seeds_make_the_noise(k: int) -> None:
    """Straight lines over the logarithm; items are as difficult for all, so that they move no crossing."""
    generator, held = np.random.default_rng(k), 0
    for _ in range(100):
        difficulty = generator.normal(0, 1, 50)

        def run(level: float, difficulty: np.ndarray = difficulty) -> dict[str, tuple[float, float]]:
            values = difficulty + level + generator.normal(0, 0.2)
            return {str(number): (float(own), 1.0) for number, own in enumerate(values)}

        own = crossings(
            {
                name: {x: [run(start + 0.5 * math.log2(x / 200)) for _ in range(k)] for x in AXIS}
                for name, start in LINES
            },
            resamples=200,
        )
        (crossing,) = [one for one in own if (one.method, one.at) == ("A", 1600)]
        low = 0.0 if crossing.low.side == "below" else crossing.low.x
        high = math.inf if crossing.high.side == "above" else crossing.high.x
        held += low <= TRUTH <= high
    assert held >= 90


def test_levels_out_of_reach_and_reached_at_once() -> None:
    generator = np.random.default_rng(0)
    found = {(one.method, one.at): one for one in crossings(quiz(generator, 1, 3000, 0.0), resamples=100, scale=100)}
    never, at_once = found["B", 1600], found["A", 200]
    assert never.status == "not reached within the range" and str(never.place) == "above 1,600"
    assert at_once.status == "already at the smallest" and str(at_once.high) == "at or below 200"
    assert found["A", 1600].status == "reached" and 0 < found["A", 1600].level < 100


def test_noise_of_seeds_is_that_of_all_points_of_a_method_together() -> None:
    """Items without noise, so that the interval is of seeds alone: pooled, also where a point has only one."""

    def runs(*values: float) -> list[dict[str, tuple[float, float]]]:
        return [{str(number): (value, 1.0) for number in range(9)} for value in values]

    rising = {x: runs(level - 0.1, level + 0.1) for x, level in zip(AXIS, (0.0, 1.0, 2.0, 3.0), strict=True)}
    still = {200: runs(1.5), 400: runs(1.5)}
    mixed = {**rising, 400: runs(1.0), 1600: runs(3.0)}
    found = {name: crossings({"a": own, "b": still})[0] for name, own in (("rising", rising), ("mixed", mixed))}
    for own in found.values():
        assert own.place.x == pytest.approx(400 * 2**0.5) and own.low.x < 530 < 605 < own.high.x
        assert own.seeds == 1
    assert found["mixed"].high.x - found["mixed"].low.x > found["rising"].high.x - found["rising"].low.x
    alone = crossings({"a": {x: own[:1] for x, own in rising.items()}, "b": still})[0]
    assert alone.low == alone.place == alone.high
    both = crossings({"a": mixed, "b": {x: own * 2 for x, own in still.items()}})[0]
    assert both.seeds == 2


def test_lower_may_be_better_and_draws_are_the_same_every_time() -> None:
    better = quiz(np.random.default_rng(1), 2, 200, 0.1)
    losses = {
        name: {x: [{i: (1 - a, b) for i, (a, b) in run.items()} for run in runs] for x, runs in own.items()}
        for name, own in better.items()
    }
    one, two = crossings(better, resamples=100), crossings(losses, higher_is_better=False, resamples=100)
    for own, other in zip(one, two, strict=True):
        assert other.place.x == pytest.approx(own.place.x) and other.low.x == pytest.approx(own.low.x)
        assert other.level == pytest.approx(1 - own.level)
    assert crossings(better, resamples=100) == one


# ---------------------------------------------------------------- reports


def finished(after: Evaluation, before: Evaluation | None = None) -> Finished:
    return Finished(
        Path("run"), "t", {}, {"stages": []}, {"quiz": before or evaluation([0.0, 1.0] * 10)}, {"quiz": after}
    )


def points(values: Mapping[tuple[str, int, int], Sequence[float]]) -> list[tuple[dict[str, Any], Finished]]:
    return [
        ({"phases[0].objective": method, "data.limit": x, "seed": seed}, finished(evaluation(own)))
        for (method, x, seed), own in values.items()
    ]


def test_points_that_differ_in_seeds_alone_are_one_row() -> None:
    generator = np.random.default_rng(2)
    keys = [(method, x, seed) for method in ("clo", "sft") for x in (400, 200) for seed in (1, 2)]
    report = report_of(points({key: generator.normal(key[1] / 100, 1, 20) for key in keys}))
    assert [row.label for row in report.rows][:2] == ["before training", "phases[0].objective=clo, data.limit=400"]
    assert len(report.rows) == 5 and all(row.cells[0].mean.seeds == 2 for row in report.rows[1:])
    assert [(own.name, own.setting, own.x, own.seeds) for own in report.curves] == [
        (method, "data.limit", (200, 400), (2, 2)) for method in ("clo", "sft")
    ]
    table = {row.label: row.cells[0].mean for row in report.rows}
    assert report.curves[0].mean[0] == table["phases[0].objective=clo, data.limit=200"].value
    assert report.curves[0].low[0] == table["phases[0].objective=clo, data.limit=200"].low
    assert {(own.crossing.method, own.crossing.at, own.largest) for own in report.crossings} == {
        (method, x, x == 400) for method in ("clo", "sft") for x in (200, 400)
    }
    record = report.record()
    assert record["table"][1]["scores"][0]["seeds"] == 2 and record["crossings"][0]["status"]


def test_curves_are_called_by_their_texts_and_by_named_numbers() -> None:
    def names(*others: dict[str, Any]) -> list[str]:
        own = [({**other, "data.limit": x}, finished(evaluation([float(x)] * 9))) for other in others for x in (1, 2)]
        report = report_of(own)
        crossed = {one.crossing.method for one in report.crossings if one.setting == "data.limit"}
        found = [one.name for one in report.curves if one.setting == "data.limit"]
        assert crossed == set(found) or len(found) == 1
        return found

    weight = "phases[0].objective.lambda"
    assert names({weight: 0.1}, {weight: 0.9}) == ["lambda=0.1", "lambda=0.9"]
    views = {"name": "sft", "views": ["TT"]}
    assert names({"phases[0].objective": "clo", "x": True}, {"phases[0].objective": views, "x": None}) == [
        "clo, x=true",
        'sft {"views": ["TT"]}, x=null',
    ]
    assert names({"method": "a"}, {"kind": "a"}) == ['method="a"', 'kind="a"']
    assert names({}) == ["quiz/de"]


def test_a_seed_is_no_axis() -> None:
    own = [({"data.limit": x, "data.seed": y}, finished(evaluation([x, y] * 5))) for x in (1.0, 2.0) for y in (3, 4)]
    assert [(one.setting, one.name) for one in report_of(own).curves] == [("data.limit", f"seed={y}") for y in (3, 4)]


def test_what_was_measured_in_two_ways_is_not_crossed() -> None:
    own = points({("clo", 200, 1): [1.0] * 9, ("clo", 400, 1): [2.0] * 9, ("sft", 200, 1): [1.0] * 9})
    other = finished(Evaluation([Score("quiz/de", 3.0, 1.0, 9, "preset:b|n:9")], evaluation([3.0] * 9).rows))
    report = report_of([*own, ({"phases[0].objective": "sft", "data.limit": 400, "seed": 1}, other)])
    assert not report.crossings and len(report.curves) == 2
    assert "No crossings over data.limit" in report.notes[0] and "preset (a, b)" in report.notes[0]


def test_a_sweep_over_seeds_alone_tells_the_model_from_the_one_before() -> None:
    own = [({"seed": seed}, finished(evaluation([1.0, float(seed)] * 5))) for seed in (1, 2)]
    report = report_of(own)
    assert [(row.label, row.before) for row in report.rows] == [("before training", True), ("the recipe", False)]
    assert [row["before"] for row in report.record()["table"]] == [True, False]


def test_a_point_without_a_place_on_the_axis_is_said_and_stays_in_the_table() -> None:
    keys = [("clo", 200, 1), ("clo", 400, 1)]
    own = points({key: [1.0, 2.0] * 5 for key in keys})
    own.append(({"phases[0].objective": "clo", "data.limit": None, "seed": 1}, finished(evaluation([1.0] * 10))))
    report = report_of(own)
    assert [curve.x for curve in report.curves] == [(200, 400)] and len(report.rows) == 4
    assert "data.limit=null have no place" in report.notes[0]


def test_missing_items_are_said() -> None:
    stage = {"stage": "evaluate after: quiz", "unfinished": "3 of 20 contests have no verdict"}
    own = replace(finished(evaluation([1.0, 2.0])), manifest={"stages": [stage]})
    note = "data.limit=5: quiz is incomplete: 3 of 20 contests have no verdict"
    assert report_of([({"data.limit": 5}, own)]).notes == (note,)
    assert own.notes() == [("quiz", "incomplete: 3 of 20 contests have no verdict")]


def test_draws_without_an_item_that_counts_are_left_out_of_the_interval() -> None:
    generator = np.random.default_rng(3)

    def rare(counting: int, mean: float) -> list[dict[str, tuple[float, float]]]:
        values = generator.normal(mean, 1, 60)
        return [{str(n): (values[n], 1.0) if n < counting else (0.0, 0.0) for n in range(60)}]

    found = crossings({"a": {100: rare(3, 0), 200: rare(60, 2)}, "b": {100: rare(60, 1), 200: rare(60, 1)}})
    ends = [end.x for own in found for end in (own.low, own.high)]
    assert np.isfinite(ends).all()


def test_text_is_no_axis_and_other_models_have_no_common_before() -> None:
    first, second = finished(evaluation([1.0, 2.0])), finished(evaluation([1.0, 3.0]), evaluation([5.0, 6.0]))
    report = report_of([({"model.source": "a"}, first), ({"model.source": "b"}, second)])
    assert not report.curves and [row.label for row in report.rows] == ["model.source=a", "model.source=b"]
    assert report_of([]).rows == ()


def test_what_another_machine_rounds_is_the_same_model_before() -> None:
    own = finished(evaluation([1.0, 2.0]), evaluation([5.0, 6.0]))
    for other, rows in ((6.0 + 1e-7, ["before training", "seed", "other"]), (6.01, ["seed", "other"])):
        again = finished(evaluation([1.0, 2.0]), evaluation([5.0, other]))
        report = report_of([({"name": "seed"}, own), ({"name": "other"}, again)])
        assert [row.label for row in report.rows] == rows


def test_settings_in_words() -> None:
    settings = {"data.limit": 200, "phases[0].objective": {"name": "sft", "views": ["TT"]}, "seed": 1}
    assert label(settings) == 'data.limit=200, phases[0].objective=sft {"views": ["TT"]}, seed=1'
    assert list(without_seed({**settings, "phases[1].training.seed": 3, "data.seed": 4})) == [
        "data.limit",
        "phases[0].objective",
        "data.seed",
    ]
    assert label({"name": "CLO", "seed": 0}) == "CLO, seed=0" and label({}) == "the recipe"
    assert [value_text(own) for own in ({"name": "clo"}, None, 0.5, True)] == ["clo", "null", "0.5", "true"]
    assert short_names(["data.limit", "phases[0].training.seed", "data.seed"]) == {
        "data.limit": "limit",
        "phases[0].training.seed": "phases[0].training.seed",
        "data.seed": "data.seed",
    }
