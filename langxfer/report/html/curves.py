"""The course of training: a chart for each kind of quantity, a phase at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from langxfer.report.figures import Figure, Series, line_chart

POINTS = 240  # in a line; more are put together
VALIDATION = "validation/"
NOT_DRAWN = frozenset({"phase", "step", "response_tokens", "tokens", "flops", "seconds"})
# Beginnings of names, and what their chart is called; anything else is a term of the loss.
KINDS = {
    "loss": "Loss",
    "margin": "Margins",
    "accuracy": "Preference accuracy",
    "chosen": "Rewards",
    "rejected": "Rewards",
    "reward": "Rewards",
    "grad_norm": "Gradient norm",
    "learning_rate": "Learning rate",
    "kl": "KL estimate (nats)",
}
TERMS = "Terms of the loss"
# Of charts with several lines; rewards and their margins are beta times log-probabilities.
UNITS = {"Margins": "beta × nats", "Rewards": "beta × nats", "Preference accuracy": "share of pairs"}
ORDER = ("Loss", TERMS, "Margins", "Preference accuracy", *dict.fromkeys(list(KINDS.values())[3:]))


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[Figure, ...]]:
    """By phase, the charts of what its rows of ``metrics.jsonl`` hold."""
    return {phase: _phase([row for row in own]) for phase, own in groupby(rows, key=lambda row: int(row["phase"]))}


def _phase(rows: Sequence[Mapping[str, Any]]) -> tuple[Figure, ...]:
    charts: dict[str, list[Series]] = {title: [] for title in ORDER}
    lines: dict[str, Series] = {}  # of training, by the name of the quantity
    for name in dict.fromkeys(name for row in rows for name in row if name not in NOT_DRAWN):
        steps, values = zip(*((row["step"], row[name]) for row in rows if row.get(name) is not None), strict=True)
        plain = name.removeprefix(VALIDATION)
        title = next((title for start, title in KINDS.items() if plain.startswith(start)), TERMS)
        if plain == name:
            lines[plain] = _line(name, steps, values)
            charts[title].append(lines[plain])
        else:
            of = lines[plain].name if plain in lines else ""
            charts[title].append(Series(f"validation {plain}", steps, values, marked=True, of=of))
    return tuple(
        line_chart(own, title=title, x="step", y=UNITS.get(title) or _value(title, own))
        for title, own in charts.items()
        if own
    )


def _value(title: str, own: Sequence[Series]) -> str:
    """What the values are, where the title does not say it already."""
    if title != TERMS:
        return ""
    return own[0].name if len(own) == 1 else "value"


def _line(name: str, steps: Sequence[int], values: Sequence[float]) -> Series:
    """All values, or where they are many, means of equally many with a band from the lowest to the highest."""
    together = -(-len(values) // POINTS)
    if together <= 1:
        return Series(name, steps, values, marked=len(values) == 1)
    parts = [values[at : at + together] for at in range(0, len(values), together)]
    at = [fmean(steps[start : start + together]) for start in range(0, len(values), together)]
    means, low, high = (list(map(of, parts)) for of in (fmean, min, max))
    return Series(f"{name}, mean of {together} steps", at, means, low, high)
