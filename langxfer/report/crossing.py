"""Where one method reaches another's level: "1,600 pairs of CLO equal 6,400 of SFT" (arXiv 2505.14297, section 6).

Method A is measured at some values of x (a number of examples), method B at others. The level is B's score at one of
its x, above all the largest. The crossing is the smallest x at which A has that level, on straight lines between A's
measured points with x on a logarithmic scale.

Its interval is a bootstrap. A resample draws items with replacement, the same for all points, since all were measured
on the same items. Seeds are too few to be drawn themselves: of two there are two values. So each point's mean over its
k seeds gets noise of its own, normal with the variance of seeds over k. This variance is taken to be the same at all x
of a method and estimated from all of them together, on sum (k - 1) degrees of freedom; how far off such an estimate may
be is drawn once a resample, from chi-square. Each resample has a level and a curve of its own, and therefore a
crossing. The interval goes from the 2.5 to the 97.5 percentile of these; where resamples cross outside the range of A,
an end of the interval is open there. A resample in which a point has no item that counts has no curve, and is left out;
where most are such, both ends are open.

Simulated 300 times each, on lines over the logarithm with four x and 100 items, such intervals held the truth as often
as this, by how much of the seeds' variance was common to all x of a method (a seed that is good at 200 is good at 400):

    of two seeds    none 96 to 99 %    half 91 to 98 %    all 84 to 89 %
    of three        none 96 to 99 %    half 94 to 98 %    all 89 to 91 %
    of five         none 95 to 99 %    half 91 to 97 %    all 88 to 91 %
    of one, where other seeds would change nothing: 91 %

What it cannot do: of a method with one seed at every x nothing is known of other seeds, and its noise is that of the
items alone. Between two measured points the line is a guess, not allowed for in the interval. A curve that goes up and
down reaches the level at its first rise, be it noise, so the crossing of noisy curves comes early. The noise of an item
under one seed counts for items and for seeds, which makes intervals a little wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from langxfer.report.comparison import Contribution
from langxfer.report.seeds import CONFIDENCE, columns

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
NUMBERS_AT_A_TIME = 1 << 20  # weights of items that are held at a time

# x -> of each seed, what every item adds to numerator and denominator
Points = Mapping[float, Sequence[Mapping[str, Contribution]]]


@dataclass(frozen=True)
class Place:
    """A place on the axis: ``x``, or outside of what was measured, ``below`` or ``above`` the x that is its end."""

    x: float
    side: Literal["within", "below", "above"] = "within"

    def __str__(self) -> str:
        words = {"within": "", "below": "at or below ", "above": "above "}
        return f"{words[self.side]}{self.x:,.4g}" if abs(self.x) < 1000 else f"{words[self.side]}{self.x:,.0f}"


@dataclass(frozen=True)
class Crossing:
    """Where ``method`` has the level that ``other`` has at ``at``.

    Attributes:
        level: in the unit of the score.
        place, low, high: where, with the ends of the 95 % interval.
        items: that were drawn.
        seeds: the most at any x, of the method that has fewer; with 1 nothing is known of other seeds of that method.
    """

    method: str
    other: str
    at: float
    level: float
    place: Place
    low: Place
    high: Place
    items: int
    seeds: int

    @property
    def status(self) -> str:
        """In words: reached, already at the smallest, not reached within the range."""
        words = {"within": "reached", "below": "already at the smallest", "above": "not reached within the range"}
        return words[self.place.side]


def crossings(
    methods: Mapping[str, Points],
    *,
    higher_is_better: bool = True,
    scale: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Crossing]:
    """Of every method, for every other one at each of its x.

    Args:
        methods: of each, two or more points with x above 0; all measured on the same items.
        higher_is_better: whether a level is reached from below.
        scale: of levels: 100 where items say shares and the score percents.
        resamples: of the bootstrap.
        seed: of its draws.
    """
    drawn = _Drawn(methods, scale if higher_is_better else -scale, resamples, seed)
    return [
        drawn.crossing(one, other, number)
        for one in methods
        for other in methods
        for number in range(len(methods[other]))
        if one != other
    ]


class _Drawn:
    """The score of every point, as found (first) and in all resamples; times ``factor``, so that more is better."""

    def __init__(self, methods: Mapping[str, Points], factor: float, resamples: int, seed: int):
        import numpy as np

        self.sign, self.axes = 1.0 if factor > 0 else -1.0, {name: sorted(points) for name, points in methods.items()}
        runs = [own for points in methods.values() for x in sorted(points) for own in points[x]]
        numerators, denominators = columns(runs)
        self.items = numerators.shape[1]
        generator = np.random.default_rng(seed)
        values = iter(factor * _resampled(numerators, denominators, resamples, generator))
        self.curves: dict[str, np.ndarray] = {}
        self.seeds = {name: max(len(own) for own in points.values()) for name, points in methods.items()}
        for name, points in methods.items():
            runs_of = [np.stack([next(values) for _ in points[x]]) for x in self.axes[name]]
            self.curves[name] = _means(runs_of, generator)  # [1 + resamples, x]

    def crossing(self, method: str, other: str, number: int) -> Crossing:
        import numpy as np

        levels, axis = self.curves[other][:, number], self.axes[method]
        known = np.isfinite(levels) & np.isfinite(self.curves[method]).all(1)
        found = reached(np.asarray(axis, dtype=float), self.curves[method][known], levels[known])
        tail = (1 - CONFIDENCE) / 2
        ends = np.array([-np.inf, np.inf])
        if known.mean() > 0.5:
            ends = np.quantile(found[1:], [tail, 1 - tail], method="inverted_cdf")
        place, low, high = (_place(float(x), axis) for x in (found[0], *ends))
        at, level = self.axes[other][number], self.sign * float(levels[0])
        seeds = min(self.seeds[method], self.seeds[other])
        return Crossing(method, other, at, level, place, low, high, self.items, seeds)


def reached(axis: np.ndarray, curves: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The smallest x at which each curve has its level: -inf if it has at the first x, inf if it never has.

    Args:
        axis: ``[x]``, rising.
        curves: ``[curves, x]``.
        levels: ``[curves]``.
    """
    import numpy as np

    there = curves >= levels[:, None]
    first = there.argmax(1)
    after = np.maximum(first, 1)
    rows = np.arange(len(curves))
    low, high = curves[rows, after - 1], curves[rows, after]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.clip((levels - low) / (high - low), 0.0, 1.0)
    logs = np.log(axis)
    between = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return np.where(~there.any(1), np.inf, np.where(first == 0, -np.inf, between))


def _resampled(
    numerators: np.ndarray, denominators: np.ndarray, resamples: int, generator: np.random.Generator
) -> np.ndarray:
    """``[runs, 1 + resamples]``: ratios of sums over all items, then over each draw of items."""
    import numpy as np

    n = numerators.shape[1]
    found = [numerators.sum(1, keepdims=True) / denominators.sum(1, keepdims=True)]
    at_a_time = max(1, NUMBERS_AT_A_TIME // n)
    for start in range(0, resamples, at_a_time):
        weights = generator.multinomial(n, np.full(n, 1 / n), size=min(at_a_time, resamples - start)).T
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw without an item that counts has no score
            found.append((numerators @ weights) / (denominators @ weights))
    return np.concatenate(found, axis=1)


def _means(points: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """``[1 + resamples, x]``: means over the seeds of one method; noise is added to those of the resamples.

    Args:
        points: of every x ``[seeds, 1 + resamples]``, the first as found.
        generator: of the noise.
    """
    import numpy as np

    means = np.stack([own.mean(0) for own in points], axis=1)
    freedom = sum(len(own) - 1 for own in points)
    if freedom == 0:
        return means
    squares = sum(float(((own[:, 0] - own[:, 0].mean()) ** 2).sum()) for own in points)
    resamples = len(means) - 1
    deviations = np.sqrt(squares / generator.chisquare(freedom, size=(resamples, 1)))  # of seeds, one a resample
    noise = generator.standard_normal((resamples, len(points))) / np.sqrt([len(own) for own in points])
    return np.concatenate([means[:1], means[1:] + deviations * noise])


def _place(x: float, axis: Sequence[float]) -> Place:
    if x == float("-inf"):
        return Place(axis[0], "below")
    return Place(axis[-1], "above") if x == float("inf") else Place(x)
