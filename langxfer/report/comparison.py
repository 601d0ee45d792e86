"""Two evaluations of the same items, score by score: difference, interval, and whether it is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from langxfer.components import Evaluation, Score
from langxfer.errors import DataError
from langxfer.signatures import signature_parts
from langxfer.statistics import Effect, holm, paired_difference

LEVEL = 0.05
# Of a signature: what the model is, and what depends on how it answered.
OF_THE_MODEL = frozenset({"model", "n"})
Contribution = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """A score of two evaluations.

    Attributes:
        effect: second minus first in the score's unit, by a paired test; None where ``untested`` says why.
        adjusted_p: ``effect.p`` after Holm's correction for all comparisons made together.
        unpaired: items that count in one of the two scores alone.
    """

    first: Score
    second: Score
    effect: Effect | None = None
    adjusted_p: float | None = None
    unpaired: int = 0
    untested: str | None = None

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: adjusted p below LEVEL."""
        return self.adjusted_p is not None and self.adjusted_p < LEVEL

    @property
    def verdict(self) -> str:
        """In words: better, worse, different, no difference shown, not tested."""
        if self.effect is None:
            return "not tested"
        if not self.shown:
            return "no difference shown"
        if self.second.higher_is_better is None:
            return "different"
        return "better" if (self.effect.difference > 0) == self.second.higher_is_better else "worse"

    def record(self) -> dict[str, Any]:
        """As JSON values; null for the ends of an interval that has none."""
        return {
            "name": self.second.name,
            "effect": _finite(asdict(self.effect)) if self.effect else None,
            "adjusted_p": self.adjusted_p,
            "unpaired": self.unpaired,
            "untested": self.untested,
            "verdict": self.verdict,
        }


def compare(first: Evaluation, second: Evaluation) -> list[Comparison]:
    """The scores that both evaluations have, in the order of the second.

    Raises:
        DataError: the items are not the same, or a score's signatures differ in more than the model.
    """
    return compare_all([(first, second)])


def compare_all(pairs: Sequence[tuple[Evaluation, Evaluation]]) -> list[Comparison]:
    """Several pairs of evaluations, of one evaluator each; p-values are adjusted for all comparisons together."""
    for first, second in pairs:
        check_comparable(first, second)
    count = sum(len(second.scores) for _, second in pairs)
    resamples = max(9999, 400 * count)  # so that the smallest p is still below the level after correction
    found = [
        _compared(old, new, contributions(old, first), contributions(new, second), resamples)
        for first, second in pairs
        for old, new in _common(first, second)
    ]
    tested = [own for own in found if own.effect is not None]
    adjusted = iter(holm([own.effect.p for own in tested if own.effect]))
    return [replace(own, adjusted_p=next(adjusted)) if own.effect else own for own in found]


def check_comparable(first: Evaluation, second: Evaluation) -> None:
    """Both are of the same items, and the scores that both have were measured in the same way.

    Raises:
        DataError: with what differs.
    """
    _check_items(first, second)
    _check_signatures(first, second)


def recorded(pairs: Sequence[tuple[Evaluation, Evaluation]], records: Sequence[Mapping[str, Any]]) -> list[Comparison]:
    """The comparisons that ``compare_all(pairs)`` made, from their records; empty where they are of something else."""
    scores = [both for first, second in pairs for both in _common(first, second)]
    if [new.name for _, new in scores] != [record["name"] for record in records]:
        return []
    return [
        Comparison(
            old,
            new,
            _effect(record["effect"]) if record["effect"] else None,
            record["adjusted_p"],
            record["unpaired"],
            record["untested"],
        )
        for (old, new), record in zip(scores, records, strict=True)
    ]


def _finite(effect: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value in (-math.inf, math.inf) else value for name, value in effect.items()}


def _effect(record: Mapping[str, Any]) -> Effect:
    ends = {
        name: end if record[name] is None else record[name] for name, end in (("low", -math.inf), ("high", math.inf))
    }
    return Effect(**{**record, **ends})


def _common(first: Evaluation, second: Evaluation) -> list[tuple[Score, Score]]:
    old = {score.name: score for score in first.scores}
    return [(old[score.name], score) for score in second.scores if score.name in old]


def _check_items(first: Evaluation, second: Evaluation) -> None:
    ids = [[(row["id"], row.get("language")) for row in own.rows] for own in (first, second)]
    for own in ids:
        if len(set(own)) < len(own):
            repeated = next(item for item in own if own.count(item) > 1)
            raise DataError(f"cannot compare: the item {repeated[0]} occurs more than once in one evaluation.")
    one, other = set(ids[0]), set(ids[1])
    if one != other:
        raise DataError(
            f"cannot compare: the evaluations are of {len(one)} and {len(other)} items and have {len(one & other)} in "
            "common. Evaluate both models on the same items."
        )


def _check_signatures(first: Evaluation, second: Evaluation) -> None:
    for old, new in _common(first, second):
        one, other = signature_parts(old.signature), signature_parts(new.signature)
        names = [name for name in {**one, **other} if one.get(name) != other.get(name) and name not in OF_THE_MODEL]
        if names:
            parts = ", ".join(f"{name} ({one.get(name, 'none')}, {other.get(name, 'none')})" for name in names)
            raise DataError(
                f"cannot compare {new.name}: the two were not measured in the same way. Different: {parts}. "
                "Evaluate both models with the same options."
            )


def _compared(
    old: Score,
    new: Score,
    one: Mapping[str, Contribution] | None,
    other: Mapping[str, Contribution] | None,
    resamples: int,
) -> Comparison:
    if old.value is None or new.value is None:
        return Comparison(old, new, untested="a value is missing")
    if one is None or other is None:
        return Comparison(old, new, untested="its rows do not give the score")
    both = [name for name in one if name in other]
    unpaired = len(one) + len(other) - 2 * len(both)
    if not both:
        return Comparison(old, new, unpaired=unpaired, untested="no item counts in both")
    columns = [[own[name][part] for name in both] for own in (one, other) for part in (0, 1)]
    of_means = all(over == 1 for over in (*columns[1], *columns[3]))
    over = (None, None) if of_means else (columns[1], columns[3])
    effect = paired_difference(columns[0], columns[2], first_over=over[0], second_over=over[1], resamples=resamples)
    if effect is None:
        return Comparison(old, new, unpaired=unpaired, untested=f"too few items ({len(both)})")
    scale, furthest = (100, 100.0) if new.unit == "%" else (1, math.inf)
    low, high = max(scale * effect.low, -furthest), min(scale * effect.high, furthest)
    scaled = replace(effect, difference=scale * effect.difference, low=low, high=high)
    return Comparison(old, new, scaled, unpaired=unpaired)


def contributions(score: Score, evaluation: Evaluation) -> dict[str, Contribution] | None:
    """By item, what it adds to numerator and denominator of the score; None unless they give the score's value."""
    found: dict[str, Contribution] = {}
    for row in evaluation.rows:
        value = row.get("scores", {}).get(score.name)
        if value is not None:
            found[_item(row)] = (float(value), 1.0) if isinstance(value, int | float) else (value[0], value[1])
    scale = 100 if score.unit == "%" else 1
    if found or score.value is None:
        return found if _gives(found, score, scale) else None
    for row in evaluation.rows:
        language, value = row.get("language"), row.get("score")
        if value is not None and language in (None, score.name.rpartition("/")[2]):
            found[_item(row)] = (float(value), 1.0)
    if _gives(found, score, scale):
        return found
    if _gives(found, score, 1):  # rows in percent
        return {name: (value / scale, over) for name, (value, over) in found.items()}
    return None


def _item(row: Mapping[str, Any]) -> str:
    return f"{row['id']}\n{row.get('language')}"


def _gives(found: Mapping[str, Contribution], score: Score, scale: float) -> bool:
    total = math.fsum(over for _, over in found.values())
    if not total or score.value is None:
        return False
    value = scale * math.fsum(value for value, _ in found.values()) / total
    return math.isclose(value, score.value, rel_tol=1e-6, abs_tol=1e-9)
