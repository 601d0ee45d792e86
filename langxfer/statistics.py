"""What numbers of a sample can say: standard errors, intervals, paired tests, and correction for many of them.

Items (questions, prompts, passages) are the unit of sampling: another sample of items would give other numbers, and
intervals say how much other. The model is taken as it is; another training seed is another model.

Two models that answered the same items are compared item by item. What counts as right or wrong gets McNemar's test,
all other numbers the paired bootstrap; ``paired_difference`` chooses. Every effect comes with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

# Fewer pairs than this cannot be bootstrapped: too many samples would hold one item alone.
FEWEST_PAIRS = 5
# Numbers that a batch of resamples holds at a time: 8 MiB.
NUMBERS_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Effect:
    """What the second of two models has more than the first, on the items that both have.

    Attributes:
        difference: second minus first.
        low, high: the interval around it.
        p: of the hypothesis that there is no difference, two-sided.
        n: number of pairs.
        test: ``mcnemar`` or ``bootstrap``.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    test: Literal["mcnemar", "bootstrap"]


def percentage(count: int, n: int) -> tuple[float, float]:
    """``count`` of ``n`` in percent, and its standard error ``100 * sqrt(p (1 - p) / n)``.

    It is the normal approximation for independent items, so it is 0 at 0 % and 100 %; ``wilson`` gives an interval
    that is right there too. ``n`` is at least 1.
    """
    share = count / n
    return 100 * share, 100 * math.sqrt(share * (1 - share) / n)


def mean(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of at least one value, and its standard error ``s / sqrt(n)``; None for a single value."""
    n = len(values)
    average = math.fsum(values) / n
    if n == 1:
        return average, None
    return average, math.sqrt(math.fsum((value - average) ** 2 for value in values) / (n - 1) / n)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float | None, float | None]:
    """``R = sum(numerators) / sum(denominators)`` over items, and its standard error by the delta method.

    ``sqrt(n / (n - 1) * sum((y - R x)^2)) / sum(x)`` (Cochran, Sampling Techniques, 3rd edition 1977,
    chapter 6, for an infinite population): items are the unit of sampling. None for a ratio without denominator,
    and for the error of a single item.
    """
    n, total = len(numerators), math.fsum(denominators)
    if not total:
        return None, None
    value = math.fsum(numerators) / total
    if n == 1:
        return value, None
    squares = math.fsum((y - value * x) ** 2 for y, x in zip(numerators, denominators, strict=True))
    return value, math.sqrt(n / (n - 1) * squares) / total


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of the share ``count / n``: within [0, 1], and of use at 0 and at n too."""
    _check_count(count, n)
    _check_confidence(confidence)
    z, share = _quantile(confidence), count / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At both ends the interval ends where the scale does, and rounding may not take it elsewhere.
    return (0.0 if count == 0 else centre - half), (1.0 if count == n else centre + half)


def mcnemar(only_first: int, only_second: int, *, mid_p: bool = False) -> float:
    """McNemar's test by the exact binomial, two-sided: do as many items turn right as turn wrong?

    Args:
        only_first: items that only the first model has right.
        only_second: items that only the second has right. Items on which both agree say nothing.
        mid_p: count half of what was found (Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91):
            more powerful, and nearly never above the level it claims.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must be 0 or more, found {only_first} and {only_second}")
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    from scipy.stats import binom

    tail = float(binom.cdf(fewer, n, 0.5))
    found = float(binom.pmf(fewer, n, 0.5)) / 2 if mid_p else 0.0
    return min(1.0, 2 * (tail - found))


def paired_shares(first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95) -> Effect:
    """The difference of two shares, of pairs of 0 (wrong) and 1 (right).

    ``p`` is McNemar's, exact. The interval is Newcombe's for paired shares (Statistics in Medicine 17, 1998, pages
    2635 to 2650, method 10): Wilson's of both, put together with their correlation. It has a width even if the two
    models never differ. ``p`` and the interval are made differently, so that close to the level one may say what the
    other does not.
    """
    _check_pairs(first, second)
    _check_confidence(confidence)
    n = len(first)
    both, only_first, only_second = (
        sum((a, b) == pair for a, b in zip(first, second, strict=True)) for pair in ((1, 1), (1, 0), (0, 1))
    )
    neither = n - both - only_first - only_second
    share_1, share_2 = (both + only_first) / n, (both + only_second) / n
    (low_1, high_1), (low_2, high_2) = (wilson(both + only, n, confidence) for only in (only_first, only_second))
    phi = _correlation(both, only_first, only_second, neither)

    def width(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    difference = (only_second - only_first) / n
    below, above = width(share_2 - low_2, high_1 - share_1), width(high_2 - share_2, share_1 - low_1)
    p = mcnemar(only_first, only_second)
    return Effect(difference, max(-1.0, difference - below), min(1.0, difference + above), p, n, "mcnemar")


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    first_over: Sequence[float] | None = None,
    second_over: Sequence[float] | None = None,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Effect | None:
    """The difference of two means, or of two ratios of sums, by the symmetric studentised paired bootstrap.

    Items are drawn with replacement, with the numbers of both models. Of each sample, the distance of its difference
    from the one found, in standard errors of its own, gives the distribution of t. The interval is the difference
    plus or minus standard errors times the quantile of ``|t|``, and ``p = (1 + samples with a |t| as large as the
    one found) / (1 + resamples)``, so the two always agree (Hall 1988, On symmetric bootstrap confidence intervals,
    J. R. Statist. Soc. B 50, pages 35 to 45). Percentile and BCa intervals are too narrow for few items, and call
    noise significant.

    Args:
        first_over, second_over: denominators of the items: ratios ``sum(first) / sum(first_over)`` are compared.

    Returns:
        None for fewer than FEWEST_PAIRS pairs, or a ratio without denominator. Pairs that all differ by the same
        have an interval without width; p is then 1 for a difference of 0, and ``2 / 2^n``, a sign test's, for others.
        Where more than ``1 - confidence`` of the samples have no spread the interval has no ends: they are infinite.
    """
    import numpy as np

    _check_pairs(first, second)
    _check_confidence(confidence)
    ones = np.ones(len(first))
    columns = [
        np.asarray(part, dtype=float) if part is not None else ones for part in (first, first_over, second, second_over)
    ]
    if any(len(column) != len(ones) or not np.isfinite(column).all() for column in columns):
        raise ValueError("every item needs a finite number, and a denominator where there are any")
    n = len(ones)
    if n < FEWEST_PAIRS or min(columns[1].sum(), columns[3].sum()) <= 0:
        return None
    found, error = (float(part) for part in _differences(np.stack(columns)))
    scale = max(1.0, *(float(np.abs(column).max()) for column in (columns[0], columns[2])))
    if error <= 1e-12 * scale:
        p = 1.0 if abs(found) <= 1e-12 * scale else 2.0 ** (1 - n)
        return Effect(found, found, found, p, n, "bootstrap")
    sizes = np.sort(_studentised(np.stack(columns), found, resamples, seed))
    # The smallest size for which p, by the formula above, is no more than 1 - confidence.
    place = math.ceil(confidence * (resamples + 1)) - 1
    half = float(sizes[min(place, resamples - 1)]) * error
    as_large = resamples - int(np.searchsorted(sizes, abs(found) / error * (1 - 1e-12)))
    return Effect(found, found - half, found + half, (1 + as_large) / (1 + resamples), n, "bootstrap")


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    first_over: Sequence[float] | None = None,
    second_over: Sequence[float] | None = None,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Effect | None:
    """``paired_shares`` if all items are 0 or 1 (and there are no denominators), else ``paired_bootstrap``."""
    _check_pairs(first, second)
    if first_over is None and second_over is None and {*first, *second} <= {0, 1}:
        return paired_shares(first, second, confidence=confidence)
    return paired_bootstrap(
        first,
        second,
        first_over=first_over,
        second_over=second_over,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's method (1979), in their order.

    Where all below a level are called differences, the chance that any of these is none is at most that level,
    however the tests depend on each other.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values are from 0 to 1, found {[p for p in p_values if not 0 <= p <= 1]}")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _studentised(columns: np.ndarray, found: float, resamples: int, seed: int) -> np.ndarray:
    """``|t|`` of each sample: how far its difference is from the one found, in its own standard errors."""
    import numpy as np

    n, generator = columns.shape[1], np.random.default_rng(seed)
    sizes = []
    at_a_time = max(1, NUMBERS_AT_A_TIME // n)
    for start in range(0, resamples, at_a_time):
        picks = generator.integers(n, size=(min(at_a_time, resamples - start), n))
        # A sample of equal items has no error: any distance is then infinitely large. One without denominators says
        # nothing, which counts as much.
        with np.errstate(divide="ignore", invalid="ignore"):
            differences, errors = _differences(columns[:, picks])
            distances = np.abs(differences - found)
            own = np.where(errors > 0, distances / errors, np.where(distances > 0, np.inf, 0.0))
        sizes.append(np.where(np.isfinite(differences) & np.isfinite(errors), own, np.inf))
    return np.concatenate(sizes)


def _differences(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference of the two ratios and its standard error (delta method), over the last axis.

    The first axis has the first model's numerators and denominators, then the second's.
    """
    import numpy as np

    n = columns.shape[-1]
    totals = columns.sum(-1, keepdims=True)
    ratios = totals[0] / totals[1], totals[2] / totals[3]
    residuals = (columns[2] - ratios[1] * columns[3]) / totals[3] - (columns[0] - ratios[0] * columns[1]) / totals[1]
    errors = np.sqrt(n / (n - 1) * np.square(residuals).sum(-1))
    return (ratios[1] - ratios[0])[..., 0], errors


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Newcombe's phi, with his correction for continuity where it is positive; 0 where a margin is empty."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if not margins:
        return 0.0
    product = both * neither - only_first * only_second
    n = both + only_first + only_second + neither
    corrected = max(product - n / 2, 0) if product > 0 else product
    return corrected / math.sqrt(margins)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_pairs(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second) or not len(first):
        raise ValueError(f"pairs are needed, found {len(first)} and {len(second)} items")


def _check_count(count: int, n: int) -> None:
    if not 0 <= count <= n or n < 1:
        raise ValueError(f"a count of 0 to n of n >= 1 items is needed, found {count} of {n}")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence is between 0 and 1 (0.95), found {confidence}")
