"""Learning rates and batches are functions of the step alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.engine.batches import batch, learning_rate, only_warms_up, order, steps_in_total, steps_per_epoch
from langxfer.recipe import Training

PEAK, LOWEST = 1e-3, 1e-5
WARMUPS = st.one_of(st.just(0.0), st.floats(0, 0.99), st.integers(1, 30).map(float))


def training(**options: Any) -> Training:
    lowest = {} if options.get("schedule") == "constant" else {"min_learning_rate": LOWEST}
    return Training(learning_rate=PEAK, **lowest, **options)


def rates(settings: Training, steps: int) -> list[float]:
    return [learning_rate(settings, step, steps) for step in range(steps)]


@given(steps=st.integers(1, 200), warmup=WARMUPS, schedule=st.sampled_from(["cosine", "linear"]))
def test_rates_rise_to_the_peak_and_fall_to_the_minimum(steps: int, warmup: float, schedule: str) -> None:
    found = rates(training(schedule=schedule, warmup=warmup), steps)
    rising = min(steps, round(warmup * steps) if warmup < 1 else int(warmup))
    assert all(0 < rate <= PEAK for rate in found)
    assert max(found) == pytest.approx(PEAK)
    assert found[:rising] == pytest.approx([PEAK * (step + 1) / rising for step in range(rising)])
    falling = found[rising:]
    assert all(earlier >= later for earlier, later in pairwise(falling))
    assert all(rate >= LOWEST for rate in falling)
    if len(falling) > 1:
        assert falling[0] == PEAK
        assert falling[-1] == pytest.approx(LOWEST, rel=1e-12)


@pytest.mark.parametrize(
    ("warmup", "steps", "said"),
    [(5000, 5, True), (5, 5, True), (4, 5, False), (0.5, 5, False), (0.99, 5, True), (0, 1, False), (2, 1, False)],
)
def test_a_warm_up_without_an_end_is_said(warmup: float, steps: int, said: bool) -> None:
    settings = training(warmup=warmup)
    assert bool(only_warms_up(settings, steps)) == said
    only_rises = all(before < after for before, after in pairwise(rates(settings, steps)))
    assert said == (only_rises and rates(settings, steps) != [PEAK])


@given(steps=st.integers(1, 100), warmup=WARMUPS)
def test_a_constant_rate_stays(steps: int, warmup: float) -> None:
    found = rates(training(schedule="constant", warmup=warmup), steps)
    rising = min(steps, round(warmup * steps) if warmup < 1 else int(warmup))
    assert found[rising:] == [PEAK] * (steps - rising)


def test_rates_by_hand() -> None:
    assert rates(training(schedule="linear"), 3) == pytest.approx([PEAK, (PEAK + LOWEST) / 2, LOWEST])
    assert rates(training(schedule="cosine"), 3) == pytest.approx([PEAK, (PEAK + LOWEST) / 2, LOWEST])
    cosine = LOWEST + (PEAK - LOWEST) * (1 + 0.5**0.5) / 2  # an eighth of a turn
    assert rates(training(schedule="cosine"), 5)[1] == pytest.approx(cosine)
    warm = rates(training(schedule="linear", warmup=0.4), 5)
    assert warm == pytest.approx([PEAK / 2, PEAK, PEAK, (PEAK + LOWEST) / 2, LOWEST])
    assert rates(training(warmup=2), 5) == pytest.approx(rates(training(warmup=0.4), 5))
    assert rates(training(), 1) == [PEAK]
    assert rates(training(warmup=9), 3) == pytest.approx([PEAK / 3, 2 * PEAK / 3, PEAK])


@given(examples=st.integers(1, 60), size=st.integers(1, 20), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_is_a_permutation(examples: int, size: int, seed: int, epoch: int) -> None:
    settings = Training(batch_size=size, seed=seed)
    steps = steps_per_epoch(settings, examples)
    batches = [batch(settings, examples, epoch * steps + step) for step in range(steps)]
    assert all(len(own) == size for own in batches[:-1])
    assert 1 <= len(batches[-1]) <= size
    flat = [number for own in batches for number in own]
    assert sorted(flat) == list(range(examples))
    assert flat == order(examples, seed, epoch)


def test_orders_differ_by_seed_and_epoch_and_never_change() -> None:
    orders = [order(50, seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(own) for own in orders}) == 9
    assert order(6, 0, 0) == [0, 1, 3, 5, 4, 2]  # of this Python and every other


def test_steps_in_total() -> None:
    assert steps_in_total(Training(steps=7), 100) == 7
    assert steps_in_total(Training(epochs=2, batch_size=8), 20) == 6
    assert steps_in_total(Training(epochs=0.5, batch_size=1), 20) == 10
    assert steps_in_total(Training(epochs=0.1, batch_size=1), 30) == 3  # 3.0000000000000004 in floating point
    assert steps_in_total(Training(epochs=0.01, batch_size=8), 20) == 1
