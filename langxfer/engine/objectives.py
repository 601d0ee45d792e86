"""How the engine speaks to objectives, with statistics of the batch or without. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from langxfer.components import Objective, Terms
from langxfer.data import AnyView

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


def scored_views(objective: Objective) -> list[AnyView]:
    """All views whose log-probabilities the objective needs: those of its loss and those of its statistics."""
    return sorted([*objective.views, *objective.statistic_views])


def loss_of(
    objective: Objective, policy: LogProbs, reference: LogProbs | None, statistics: Mapping[str, float]
) -> Terms:
    """The objective's loss, called with the statistics where it declares any."""
    if objective.statistic_views:
        return objective.loss(policy, reference, statistics)  # type: ignore[call-arg]
    return objective.loss(policy, reference)
