"""What a sweep will make: of every point the stages that no point before it makes, and the cost of all. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langxfer.engine import cost
from langxfer.engine.cost import Cost
from langxfer.engine.plan import Plan, outlook
from langxfer.engine.store import Store
from langxfer.engine.sweep import planned
from langxfer.sweeps import Sweep


@dataclass(frozen=True)
class PointPlan:
    """One point.

    Attributes:
        hits: stages that are there, or that a point before makes.
        to_make: labels of the others.
        flops: that training and references among them compute; 0 where nothing can be counted (``cost.uncounted``).
            What a reference takes from one of the same model with other examples is in it.
    """

    settings: Mapping[str, Any]
    key: str
    hits: int
    to_make: tuple[str, ...]
    cost: Cost
    flops: int
    least_seconds: float | None


@dataclass(frozen=True)
class SweepPlan:
    """All points in the order in which they run."""

    title: str
    points: tuple[PointPlan, ...]

    @property
    def flops(self) -> int:
        return sum(point.flops for point in self.points)

    @property
    def least_seconds(self) -> float | None:
        """At the rate of a plain matmul that was measured on this machine before; None if none was."""
        known = [point.least_seconds for point in self.points if point.least_seconds is not None]
        return sum(known) if len(known) == len(self.points) else None

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "flops": self.flops, "least_seconds": self.least_seconds}


def plan_sweep(given: Sweep, runs: Path) -> SweepPlan:
    """Look at the artifacts that are there, and count.

    Raises:
        RecipeError, DataError: as ``sweep``.
    """
    store, made = Store(runs / "artifacts"), set[str]()
    points = [_point(point.settings, own, store, made) for point, own in zip(given.points, planned(given), strict=True)]
    return SweepPlan(given.title, tuple(points))


def _point(settings: Mapping[str, Any], own: Plan, store: Store, made: set[str]) -> PointPlan:
    rows = outlook(own, store)
    new = [row.stage for row in rows if not row.hit and row.stage.key not in made]
    made |= {stage.key for stage in new}
    estimate, keys = cost.estimate(own.recipe, store, own), {stage.key for stage in new}
    flops, rate = 0, None
    for phase, counted in zip(own.phases, estimate.phases, strict=False):
        rate = counted.flops / counted.least_seconds if counted.least_seconds else rate
        for name, account in counted.passes.items():
            stage = phase.reference if name == "reference" else phase.train
            flops += account.flops if stage is not None and stage.key in keys else 0
    seconds = flops / rate if rate else (0.0 if not flops and estimate.uncounted is None else None)
    labels = tuple(stage.label for stage in new)
    return PointPlan(settings, own.key, len(rows) - len(new), labels, estimate, flops, seconds)
