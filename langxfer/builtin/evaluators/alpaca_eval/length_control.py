"""The win rate as if both models' answers were of equal length (Dubois et al. 2024, arXiv 2404.04475).

A logistic regression without intercept predicts preferences from ``tanh(difference of lengths / its standard
deviation)``, a constant and, where difficulties are known, the instruction's difficulty; its prediction at a difference
of 0 is the length-controlled preference. Lengths are in characters. As in AlpacaEval, targets are probabilities, the
penalty is L1 (liblinear), its strength is the best of ten in a cross-validation of five folds, and with difficulties
the fit is regularised to answers of a baseline that was asked to be short or long ("gamed" rows, weight 0.2 / 2 each).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.builtin.evaluators.files import Row, rows
from langxfer.errors import DataError, RecipeError

if TYPE_CHECKING:
    from numpy import ndarray

FOLDS = 5
STRENGTHS = 10  # inverse strengths of the penalty that are tried: 1e-4 to 1e4, evenly by logarithm
GAMED_WEIGHT = 0.2 / 2  # of each of the two gamed baselines
SEED = 123
RESAMPLES = 100
CLIPPED = 1e-15
LEAST_WEIGHT = 1e-12  # of an outcome that did not come: liblinear wants to see both
DIFFICULTIES = "alpaca_eval.difficulties"


@dataclass(frozen=True)
class Comparison:
    """What the regression knows of an item.

    Attributes:
        preference: for the model, from 0 to 1.
        baseline_length, model_length: of the answers, in characters.
        difficulty: of the instruction; 0 where none is known.
    """

    preference: float
    baseline_length: int
    model_length: int
    difficulty: float = 0.0


@dataclass(frozen=True)
class Difficulties:
    """AlpacaEval's table ``df_gamed.csv``.

    Attributes:
        by_place: difficulty of an instruction by its place in the English set.
        gamed: preference, length feature before tanh, difficulty and whether it is no gamed baseline, by row.
    """

    by_place: Mapping[int, float]
    gamed: Sequence[tuple[float, float, float, bool]]


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate in percent, with the standard error of a bootstrap over the items.

    Attributes:
        weights: of length, difficulty and constant.
    """

    win_rate: float
    standard_error: float
    weights: tuple[float, float, float]


def require_scikit_learn() -> str:
    """The version of scikit-learn.

    Raises:
        RecipeError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("scikit-learn")
    except PackageNotFoundError:
        raise RecipeError(
            'alpaca_eval.length_control needs a package:  pip install "scikit-learn>=1.8"  (or length_control: false).'
        ) from None


def read_difficulties(path: Path) -> Difficulties:
    """The table of difficulties and gamed baselines.

    Raises:
        DataError: it is not that table.
    """
    by_place: dict[int, float] = {}
    gamed: list[tuple[float, float, float, bool]] = []
    for row in rows(path, DIFFICULTIES):
        difficulty = _number(row, "instruction_difficulty")
        by_place.setdefault(int(_number(row, "index")), difficulty)
        own = row.text("not_gamed_baseline")
        if own not in ("True", "False"):
            raise DataError(f"{row.where}: not_gamed_baseline is {own!r}, expected True or False.")
        if row.text("preference"):
            gamed.append((_number(row, "preference"), _number(row, "std_delta_len"), difficulty, own == "True"))
    return Difficulties(by_place, gamed)


def length_controlled(items: Sequence[Comparison], difficulties: Difficulties | None = None) -> LengthControlled | None:
    """The length-controlled win rate; None for fewer items than two a fold.

    Raises:
        RecipeError: scikit-learn is not installed.
    """
    if len(items) < 2 * FOLDS:
        return None
    require_scikit_learn()
    import numpy

    features, targets, trust = _design(items, difficulties)
    strength = _best_strength(features, targets, trust)
    weights = _fit(features, targets, trust, strength)
    hard = numpy.array([item.difficulty for item in items])

    own = len(items)
    draws = numpy.random.default_rng(SEED)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = draws.integers(own, size=own)
        rows = numpy.concatenate([drawn, numpy.arange(own, len(targets))])  # the gamed rows are no sample of ours
        refitted = _fit(features[rows], targets[rows], trust[rows], strength)
        resampled.append(predicted(refitted[1], refitted[2], hard[drawn]))
    error = float(numpy.std(resampled, ddof=1))
    return LengthControlled(predicted(weights[1], weights[2], hard), error, weights)


def predicted(difficulty_weight: float, constant: float, difficulties: Sequence[float] | ndarray) -> float:
    """The win rate in percent at equal lengths, from weights of the regression: the mean of its predictions."""
    import numpy

    return 100 * float(numpy.mean(_logistic(constant + difficulty_weight * numpy.asarray(difficulties, float))))


def is_extreme(win_rate: float, controlled: float) -> bool:
    """Whether control moved the win rate (both in percent) so far that the regression may have failed.

    That is more than 10 points, and more than a quarter of what lay between the win rate and 0 or 100 on that side.
    """
    lowest = min(win_rate - win_rate / 4, win_rate - 10)
    highest = max(win_rate + (100 - win_rate) / 4, win_rate + 10)
    return controlled < lowest or controlled > highest


def _design(items: Sequence[Comparison], difficulties: Difficulties | None) -> tuple[ndarray, ndarray, ndarray]:
    """Features (length, difficulty, constant), targets and weights of the rows; the items come first."""
    import numpy

    differences = numpy.array([float(item.baseline_length - item.model_length) for item in items])
    spread = differences.std(ddof=1)
    lengths = numpy.tanh(differences / spread) if spread > 0 else numpy.zeros(len(items))
    columns = [lengths, numpy.array([item.difficulty for item in items]), numpy.ones(len(items))]
    features, targets = numpy.stack(columns, 1), numpy.array([item.preference for item in items])
    trust = numpy.ones(len(items))
    if difficulties is not None and difficulties.gamed:
        preferences, deltas, hard, own = (
            numpy.array(column, float) for column in zip(*difficulties.gamed, strict=True)
        )
        features = numpy.concatenate([features, numpy.stack([numpy.tanh(deltas), hard, own], 1)])
        targets = numpy.concatenate([targets, preferences])
        trust = numpy.concatenate([trust, own + GAMED_WEIGHT * (1 - own)])
    return features, targets, trust


def _best_strength(features: ndarray, targets: ndarray, trust: ndarray) -> float:
    """The inverse strength of the penalty with the least loss on held-out rows; the strongest penalty of equals."""
    import numpy
    from sklearn.model_selection import GroupKFold

    groups = numpy.arange(len(targets))
    doubled = numpy.tile(groups, 2)  # each row is there twice, once for each outcome; both stay in one fold
    folds = [
        (train[train < len(groups)], held[held < len(groups)])
        for train, held in GroupKFold(FOLDS).split(doubled, groups=doubled)
    ]

    def loss(strength: float) -> float:
        losses = []
        for train, held in folds:
            weights = _fit(features[train], targets[train], trust[train], strength)
            shares = numpy.clip(_logistic(features[held] @ numpy.array(weights)), CLIPPED, 1 - CLIPPED)
            wanted = targets[held]
            losses.append(
                -numpy.mean(trust[held] * (wanted * numpy.log(shares) + (1 - wanted) * numpy.log(1 - shares)))
            )
        return float(numpy.mean(losses))

    candidates = [float(strength) for strength in numpy.logspace(-4, 4, STRENGTHS)]
    measured = [loss(strength) for strength in candidates]
    return candidates[measured.index(min(measured))]


def _fit(features: ndarray, targets: ndarray, trust: ndarray, strength: float) -> tuple[float, float, float]:
    """Weights of the regression on probabilities: each row counts as both outcomes, by its target."""
    import numpy
    from sklearn.linear_model import LogisticRegression

    used = features.any(0)  # a feature that is 0 everywhere, and its weight is then 0
    regression: Any = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=SEED
    )
    regression.fit(
        numpy.concatenate([features[:, used]] * 2),
        numpy.concatenate([numpy.ones(len(targets)), numpy.zeros(len(targets))]),
        sample_weight=numpy.maximum(numpy.concatenate([targets * trust, (1 - targets) * trust]), LEAST_WEIGHT),
    )
    weights = numpy.zeros(3)
    weights[used] = regression.coef_[0]
    return float(weights[0]), float(weights[1]), float(weights[2])


def _logistic(values: ndarray) -> ndarray:
    import numpy

    return numpy.exp(-numpy.logaddexp(0, -values))


def _number(row: Row, column: str) -> float:
    text = row.text(column)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{row.where}: {column} is {text!r}, expected a number.")
    return value
