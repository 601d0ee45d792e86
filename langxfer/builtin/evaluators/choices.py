"""Multiple choice by likelihood: which option a model chooses, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from langxfer.builtin.evaluators import percentage
from langxfer.components import OptionScores, Score
from langxfer.errors import DataError
from langxfer.statistics import wilson

# By what an option's log-probability is divided before options are compared.
Measure = Literal["acc", "acc_norm_chars", "acc_norm_bytes", "acc_norm_tokens"]
MEASURES: tuple[Measure, ...] = ("acc", "acc_norm_chars", "acc_norm_bytes", "acc_norm_tokens")


@dataclass(frozen=True)
class Choice:
    """The option with the highest value, the first of equals; ``tied`` when there are equals."""

    option: int
    tied: bool


def choose(scored: OptionScores, measure: Measure) -> Choice:
    """The option that a model prefers.

    Characters and bytes (UTF-8) are those of the option without the space before it, as in lm-evaluation-harness.

    Raises:
        DataError: a log-probability is not a number, so every choice would be the first option.
    """
    if bad := [total for total in scored.totals if not math.isfinite(total)]:
        raise DataError(
            f"{scored.question.id}: the model gives an option the log-probability {bad[0]}. Its weights are broken, "
            "or they overflow in this dtype: try model.dtype float32."
        )
    values = [total / size for total, size in zip(scored.totals, _sizes(scored, measure), strict=True)]
    best = max(values)
    return Choice(values.index(best), values.count(best) > 1)


def accuracy(name: str, correct: Sequence[bool], signature: str) -> Score:
    """Percentage right, of at least one: standard error ``sqrt(p (1 - p) / (n - 1))`` and Wilson's interval."""
    n, count = len(correct), sum(correct)
    share = count / n
    error = 100 * math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else None
    low, high = wilson(count, n)
    # Rounding must not put the share outside of its interval at 0 and at 100 %.
    interval = (100 * min(low, share), 100 * max(high, share))
    return Score(name, 100 * share, error, n, signature, "%", interval=interval)


def window(name: str, cuts: Sequence[int], signature: str) -> tuple[Score, list[str]]:
    """How many contexts did not fit into the model's window, and a note where there are any.

    Args:
        cuts: tokens that each context lost.
    """
    n, cut = len(cuts), sum(lost > 0 for lost in cuts)
    notes = [f"{name}: {cut} of {n} contexts lost their beginning to the model's window."] if cut else []
    return Score(f"{name}/cut", *percentage(cut, n), n, signature, "%", False), notes


def _sizes(scored: OptionScores, measure: Measure) -> Sequence[int]:
    texts = [option.removeprefix(" ") for option in scored.question.options]
    if measure == "acc_norm_tokens":
        return scored.tokens
    if measure == "acc_norm_chars":
        return [len(text) for text in texts]
    if measure == "acc_norm_bytes":
        return [len(text.encode()) for text in texts]
    return [1] * len(texts)
