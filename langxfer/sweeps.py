"""A sweep as a value: recipes that differ in some settings, in the order in which they run. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langxfer.recipe import Recipe


@dataclass(frozen=True)
class Point:
    """One recipe of a sweep.

    Attributes:
        settings: what tells it from the others, as JSON values: ``{"data.limit": 200, "seed": 1}``. Points that differ
            in ``seed`` (or in a phase's ``training.seed``) alone are averaged; no two may share the seed of a phase.
        recipe: with its paths resolved.
        text: the recipe as its author wrote it, for the run folder; None for one that was made in Python.
        file: of that text, or the name of an installed recipe: what ``langxfer run`` takes.
        overrides: ``path=value``, as ``langxfer run --set`` takes them to do this point alone.
    """

    settings: Mapping[str, Any]
    recipe: Recipe
    text: str | None = None
    file: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """Points under a title."""

    title: str
    points: tuple[Point, ...]


def gathered(problems: Iterable[tuple[str, str]], points: int) -> list[str]:
    """Problems of all points, each said once, with the point that has it unless all of them do.

    Args:
        problems: (label of a point, sentence).
        points: how many points there are.
    """
    found: dict[str, list[str]] = {}
    for label, sentence in problems:
        found.setdefault(sentence, []).append(label)
    return [sentence if len(own) == points else f"{sentence}{_where(own)}" for sentence, own in found.items()]


def _where(labels: list[str]) -> str:
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"  (Point {labels[0]}{more}.)"
