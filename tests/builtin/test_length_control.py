"""Length control: closed forms, made-up data with known truth, and the published numbers."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from langxfer.builtin.evaluators.alpaca_eval.length_control import (
    Comparison,
    Difficulties,
    is_extreme,
    length_controlled,
    predicted,
    read_difficulties,
)
from langxfer.errors import DataError

LEADERBOARDS = Path(__file__).parents[2].parent / "shared/data/alpaca-eval/leaderboards"


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_without_differences_of_length_nothing_is_controlled_for() -> None:
    """The optimum of a constant alone is known: the win rate, drawn a little towards 50 % by the penalty."""
    items = [Comparison(preference, 100, 100) for preference in [0.8] * 60 + [0.3] * 60]
    found = length_controlled(items)
    assert found is not None
    assert found.win_rate == pytest.approx(55, abs=0.2)
    assert found.weights[:2] == (0.0, 0.0)
    assert found.weights[2] == pytest.approx(math.log(0.55 / 0.45), abs=0.01)
    spread = 25 / math.sqrt(120)
    assert found.standard_error == pytest.approx(spread, rel=0.25)


def test_a_judge_that_likes_length_alone_leaves_a_draw() -> None:
    """Preferences are logistic(2 tanh(z)): at equal lengths there is nothing between the models."""
    lengths = np.random.default_rng(0).normal(200, 120, 400)  # the model is longer by 200 characters in the mean
    spread = lengths.std(ddof=1)
    items = [Comparison(logistic(2 * math.tanh(own / spread)), 1000, 1000 + round(own)) for own in lengths.round()]
    plain = 100 * sum(item.preference for item in items) / len(items)
    found = length_controlled(items)
    assert found is not None and plain > 70
    assert found.win_rate == pytest.approx(50, abs=0.5)
    assert found.weights[0] == pytest.approx(-2, abs=0.05)


def test_difficulties_and_gamed_rows_decide_the_weights() -> None:
    draws = np.random.default_rng(1)
    hard, deltas = draws.normal(0, 1.5, 300), draws.normal(0, 1, 300).round(2)
    spread = (100 * deltas).std(ddof=1) / 100
    items = [
        Comparison(logistic(-1.0 * math.tanh(d / spread) + 0.8 * h - 0.5), 1000 + round(100 * d), 1000, h)
        for d, h in zip(deltas, hard, strict=True)
    ]
    alone = length_controlled(items, Difficulties(dict(enumerate(hard)), ()))
    assert alone is not None
    assert alone.weights == pytest.approx((-1.0, 0.8, -0.5), abs=0.05)
    assert alone.win_rate == pytest.approx(100 * np.mean([logistic(0.8 * h - 0.5) for h in hard]), abs=0.3)
    gamed = [(logistic(-3 * math.tanh(d)), d, h, False) for d, h in zip(deltas, hard, strict=True)] * 2
    pulled = length_controlled(items, Difficulties(dict(enumerate(hard)), gamed))
    assert pulled is not None
    assert pulled.weights[0] < alone.weights[0] - 0.05  # towards what length does to the gamed baseline
    assert pulled.weights[2] == pytest.approx(-0.5, abs=0.1)  # the constant is no feature of gamed rows


def test_few_items_have_no_regression() -> None:
    assert length_controlled([Comparison(1.0, 1, 2)] * 9) is None
    assert length_controlled([Comparison(1.0, 1, 2)] * 10) is not None


@pytest.mark.parametrize(
    ("plain", "controlled", "extreme"),
    [(20, 9.9, True), (20, 10.1, False), (20, 39.9, False), (20, 40.1, True), (80, 59.9, True), (50, 37, True)],
)
def test_extreme_changes(plain: float, controlled: float, extreme: bool) -> None:
    assert is_extreme(plain, controlled) is extreme


def test_the_table_of_difficulties(tmp_path: Path) -> None:
    path = tmp_path / "df_gamed.csv"
    header = "model,preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n"
    path.write_text(header + "verbose,0.25,0,-1.5,0.5,False\nconcise,,1,1.5,-2,False\n")
    found = read_difficulties(path)
    assert found.by_place == {0: 0.5, 1: -2.0} and found.gamed == [(0.25, -1.5, 0.5, False)]
    for text, message in (
        ("model,index\nx,0\n", r":2: instruction_difficulty is None, expected a text\. Fields there: model, index"),
        (header + "x,a,0,1,1,False\n", r":2: preference is 'a', expected a number"),
        (header + "x,1,0,1,1,no\n", r":2: not_gamed_baseline is 'no'"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_difficulties(path)


def test_the_published_win_rate_of_alpaca_7b() -> None:
    """5.8755 % from its published weights.

    The published table of difficulties is on a hub. What it gives to a win rate is its distribution, which the other
    models' weights and length-controlled win rates determine: the rate of each is a mean of logistic functions of it.
    """
    if not LEADERBOARDS.is_dir():
        pytest.skip("no leaderboards beside the repository (../shared/data/alpaca-eval)")
    from scipy.optimize import nnls

    with open(LEADERBOARDS / "weighted_alpaca_eval_gpt4_turbo_leaderboard.csv", encoding="utf-8", newline="") as file:
        rates = {row[""]: float(row["length_controlled_winrate"] or "nan") for row in csv.DictReader(file)}
    with open(LEADERBOARDS / "lc_v1_weights_baseline_gpt4_1106_preview.csv", encoding="utf-8", newline="") as file:
        weights = {row[0]: (float(row[2]), float(row[3])) for row in list(csv.reader(file))[1:]}
    others = [
        name for name, (slope, _) in weights.items()
        if slope and math.isfinite(rates.get(name, math.nan)) and not name.startswith("alpaca-7b")
    ]  # fmt: skip
    grid = np.linspace(-12, 12, 481)
    rows = [100 / (1 + np.exp(-(weights[name][1] + weights[name][0] * grid))) for name in others]
    wanted = [rates[name] for name in others]
    sure = 1e5  # shares of the distribution add up to one
    shares, _ = nnls(np.array([*rows, [sure] * len(grid)]), np.array([*wanted, sure]), maxiter=100_000)
    assert len(others) > 150 and shares.sum() == pytest.approx(1, abs=1e-6)
    difficulties = np.repeat(grid, np.round(shares * 100_000).astype(int))
    assert predicted(*weights["alpaca-7b"], difficulties) == pytest.approx(rates["alpaca-7b"], abs=0.05)
    assert rates["alpaca-7b"] == pytest.approx(5.8755, abs=1e-4)


def test_the_regression_is_alpaca_eval_s() -> None:
    """Values that alpaca_eval 0.6.6 computes for alpaca-7b's annotations; the table of difficulties is made up."""
    stored = LEADERBOARDS.parent / "alpaca-7b" / "weighted_alpaca_eval_gpt4_turbo.annotations.json"
    if not stored.is_file():
        pytest.skip("no AlpacaEval annotations beside the repository (../shared/data/alpaca-eval)")
    rows = json.loads(stored.read_text(encoding="utf-8"))
    draws = np.random.default_rng(0)
    hard = draws.normal(0, 1.5, len(rows))
    gamed = [
        (logistic(-1.5 * math.tanh(delta)), delta, own, False)
        for shift in (-0.8, 0.8)
        for delta, own in zip(draws.normal(shift, 1, len(rows)), hard, strict=True)
    ]
    lengths = [(row["preference"] - 1, len(row["output_1"]), len(row["output_2"])) for row in rows]
    minimal = length_controlled([Comparison(*own) for own in lengths])
    assert minimal is not None and minimal.win_rate == pytest.approx(19.549396, abs=1e-4)
    assert minimal.weights == pytest.approx((-4.242478, 0, -1.414699), abs=1e-4)
    harder = [Comparison(*own, difficulty) for own, difficulty in zip(lengths, hard, strict=True)]
    published = length_controlled(harder, Difficulties(dict(enumerate(hard)), gamed))
    assert published is not None and published.win_rate == pytest.approx(9.251712, abs=1e-4)
    assert published.weights == pytest.approx((-2.020016, -0.035825, -2.285854), abs=1e-4)
