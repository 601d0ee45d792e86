"""Statistics against scipy, closed forms, and simulation of what intervals and tests promise."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.statistics import (
    FEWEST_PAIRS,
    Effect,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    paired_shares,
    ratio,
    wilson,
)

NUMBERS = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.99]))
def test_wilson_is_scipys(pair: tuple[int, int], confidence: float) -> None:
    expected = scipy.stats.binomtest(*pair).proportion_ci(confidence, "wilson")
    assert wilson(*pair, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= wilson(*pair, confidence)[0] <= pair[0] / pair[1] <= wilson(*pair, confidence)[1] <= 1


def test_wilson_at_the_ends() -> None:
    z2 = scipy.stats.norm.ppf(0.975) ** 2
    assert wilson(0, 10) == (0.0, pytest.approx(z2 / (10 + z2)))
    assert wilson(10, 10) == (pytest.approx(10 / (10 + z2)), 1.0)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_exact_test(first: int, second: int) -> None:
    expected = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(first, second) == mcnemar(second, first)
    assert mcnemar(first, second, mid_p=True) <= mcnemar(first, second)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 5) == pytest.approx(2 * 7 / 64)
    assert mcnemar(1, 5, mid_p=True) == pytest.approx(2 * (1 + 3) / 64)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(3, 3, mid_p=True) == pytest.approx(1.0)
    assert mcnemar(0, 0) == mcnemar(0, 0, mid_p=True) == 1.0
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar(-1, 2)


def pairs(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[int], list[int]]:
    counts = {(1, 1): both, (1, 0): only_first, (0, 1): only_second, (0, 0): neither}
    rows = [pair for pair, count in counts.items() for _ in range(count)]
    return [first for first, _ in rows], [second for _, second in rows]


def test_shares_by_hand() -> None:
    """Nobody disagrees: the correlation is not of help with an empty margin, and Wilson's widths remain."""
    effect = paired_shares(*pairs(10, 0, 0, 0))
    low, _ = wilson(10, 10)
    assert effect == Effect(0.0, -(1 - low), pytest.approx(1 - low), 1.0, 10, "mcnemar")
    # All pairs differ in the same way: from 0 to 1.
    effect = paired_shares(*pairs(0, 0, 8, 0))
    assert (effect.difference, effect.high, effect.p) == (1.0, 1.0, pytest.approx(2 / 256))
    assert effect.low == pytest.approx(1 - math.hypot(1 - wilson(8, 8)[0], wilson(0, 8)[1]))


@settings(deadline=None)
@given(*[st.integers(0, 30)] * 4)
def test_shares_are_symmetric(both: int, only_first: int, only_second: int, neither: int) -> None:
    if not both + only_first + only_second + neither:
        return
    effect = paired_shares(*pairs(both, only_first, only_second, neither))
    turned = paired_shares(*pairs(both, only_second, only_first, neither))
    wrong = paired_shares(*pairs(neither, only_second, only_first, both))
    assert -1 <= effect.low <= effect.difference <= effect.high <= 1
    assert effect.p == turned.p == mcnemar(only_first, only_second)
    for other in ((-turned.high, -turned.low), (-wrong.high, -wrong.low)):
        assert (effect.low, effect.high) == pytest.approx(other, abs=1e-12)


def test_shares_cover_the_truth() -> None:
    """Of 2000 samples of 60 pairs, near 95 of 100 intervals hold the true difference, and fewer tests than that err."""
    generator = np.random.default_rng(3)
    chances, n = [0.55, 0.05, 0.15, 0.25], 60
    hits = 0
    for counts in generator.multinomial(n, chances, size=2000):
        effect = paired_shares(*pairs(*(int(count) for count in counts)))
        hits += effect.low <= 0.10 <= effect.high
    assert 0.935 <= hits / 2000 <= 0.97
    false = sum(
        mcnemar(int(b), int(c)) < 0.05 for _, b, c, _ in generator.multinomial(n, [0.5, 0.1, 0.1, 0.3], size=2000)
    )
    assert false / 2000 <= 0.05


def test_bootstrap_is_near_t_and_bca_where_these_are_right() -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(size=300)
    second = first + 0.1 + generator.normal(scale=0.8, size=300)
    effect = paired_bootstrap(first, second)
    assert effect is not None
    expected = scipy.stats.ttest_rel(second, first)
    interval = expected.confidence_interval(0.95)
    assert effect.difference == pytest.approx(float(np.mean(second - first)))
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert effect.p == pytest.approx(expected.pvalue, abs=0.01)
    bca = scipy.stats.bootstrap((second - first,), np.mean, method="BCa", rng=1).confidence_interval
    assert (effect.low, effect.high) == pytest.approx((bca.low, bca.high), abs=0.01)


def test_bootstrap_of_ratios_is_that_of_their_sums() -> None:
    generator = np.random.default_rng(5)
    size = generator.integers(5, 200, size=400).astype(float)
    first, second = size * generator.gamma(20, 0.1, size=400), size * generator.gamma(20, 0.095, size=400)
    effect = paired_bootstrap(first, second, first_over=size, second_over=size)
    assert effect is not None
    assert effect.difference == pytest.approx((second.sum() - first.sum()) / size.sum())

    def statistic(a: np.ndarray, b: np.ndarray, over: np.ndarray, axis: int = -1) -> np.ndarray:
        return (b.sum(axis) - a.sum(axis)) / over.sum(axis)

    rows = (first, second, size)
    bca = scipy.stats.bootstrap(rows, statistic, paired=True, vectorized=True, rng=1).confidence_interval
    assert (effect.low, effect.high) == pytest.approx((bca.low, bca.high), rel=0.05)
    # Against a model of no doubt the error is that of the other one alone.
    alone = paired_bootstrap(size * 0, second, first_over=size, second_over=size)
    _, error = ratio(list(second), list(size))
    assert alone is not None and error is not None
    assert (alone.high - alone.low) / 2 == pytest.approx(1.96 * error, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=FEWEST_PAIRS, max_size=12))
def test_bootstrap_agrees_with_itself(rows: list[tuple[float, float]]) -> None:
    """The interval excludes 0 exactly if p is at most 0.05; turned around, all is turned around."""
    first, second = ([row[i] for row in rows] for i in (0, 1))
    effect, turned = (paired_bootstrap(*pair, resamples=999) for pair in ((first, second), (second, first)))
    assert effect is not None and turned is not None
    assert effect.low <= effect.difference <= effect.high
    assert 0 < effect.p <= 1
    if effect.high > effect.low:
        assert (effect.p <= 0.05) == (effect.low > 1e-9 or effect.high < -1e-9) or min(
            abs(effect.low), abs(effect.high)
        ) < 1e-9 * max(1, abs(effect.difference))
    assert effect.p == turned.p and effect.difference == pytest.approx(-turned.difference)
    assert (effect.low, effect.high) == pytest.approx((-turned.high, -turned.low))


@pytest.mark.parametrize(("n", "most"), [(5, 0.06), (8, 0.06), (40, 0.062)])
def test_bootstrap_does_not_call_noise_significant(n: int, most: float) -> None:
    """Of 1500 samples without a difference, skewed and small, hardly more than 5 in 100 have p < 0.05."""
    generator = np.random.default_rng(n)
    false = 0
    for seed in range(1500):
        first, second = generator.exponential(size=(2, n))
        effect = paired_bootstrap(first, second, resamples=199, seed=seed)
        assert effect is not None
        false += effect.p <= 0.05
    assert false / 1500 <= most


def test_bootstrap_depends_on_the_seed_alone() -> None:
    generator = random.Random(1)
    first, second = ([generator.random() for _ in range(20)] for _ in range(2))
    assert paired_bootstrap(first, second) == paired_bootstrap(first, second)
    assert paired_bootstrap(first, second, seed=1) != paired_bootstrap(first, second)


def test_degenerate_data() -> None:
    assert paired_bootstrap([1.5] * 4, [2.0] * 4) is None
    assert paired_bootstrap([0.25] * 6, [0.25] * 6) == Effect(0.0, 0.0, 0.0, 1.0, 6, "bootstrap")
    assert paired_bootstrap([0.25] * 6, [0.75] * 6) == Effect(0.5, 0.5, 0.5, 2 / 64, 6, "bootstrap")
    assert paired_bootstrap([1.0] * 6, [2.0] * 6, first_over=[0.0] * 6, second_over=[1.0] * 6) is None
    # One item of six decides: no sample may say that this is sure.
    effect = paired_bootstrap([0.0] * 6, [0.0] * 5 + [9.0])
    assert effect is not None and effect.p > 0.05 and effect.low < 0 < effect.high
    for wrong in ([math.nan] * 6, [math.inf] * 6):
        with pytest.raises(ValueError, match="finite"):
            paired_bootstrap([1.0] * 6, wrong)
    for wrong in ([], [1.0]):
        with pytest.raises(ValueError, match="pairs are needed"):
            paired_difference([1.0, 0.0], wrong)
    with pytest.raises(ValueError, match="confidence"):
        paired_difference([1, 0], [0, 1], confidence=95)
    for count, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="count"):
            wilson(count, n)


def test_the_right_test_is_chosen() -> None:
    shares = paired_difference([1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0])
    numbers = paired_difference([1, 0, 1, 0, 1, 0.5], [1, 1, 1, 1, 1, 0])
    ratios = paired_difference([1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0], first_over=[2] * 6, second_over=[2] * 6)
    assert [effect and effect.test for effect in (shares, numbers, ratios)] == ["mcnemar", "bootstrap", "bootstrap"]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_steps_down(p_values: list[float]) -> None:
    """By the definition: the largest of ``(m - number of smaller ones) * p`` of all that are no larger."""
    ranked = sorted(p_values)
    steps = [(p, (len(ranked) - rank) * p) for rank, p in enumerate(ranked)]
    expected = [min(1.0, max(step for p, step in steps if p <= own)) for own in p_values]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([]) == []
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    with pytest.raises(ValueError, match=r"from 0 to 1, found \[1.5\]"):
        holm([0.5, 1.5])
