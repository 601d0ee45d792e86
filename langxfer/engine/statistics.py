"""Statistics of the whole batch, which an objective may declare: plain numbers, known before the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from langxfer.components import Objective, Ratio
from langxfer.engine.forward import Scorer
from langxfer.engine.runtime import Runtime
from langxfer.logps import LogProbs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langxfer.engine.train import Examples


@torch.no_grad()
def batch_statistics(
    scorer: Scorer, objective: Objective, own: Examples, runtime: Runtime, budget: int
) -> dict[str, float]:
    """The objective's statistics of the GLOBAL batch, of which ``own`` is this process's share; {} for none.

    Numerators and denominators are summed over micro-batches of ``budget`` tokens and over processes before
    one is divided by the other, so that neither changes the result. Dropout is the caller's to switch off.
    A process without examples takes part in the sum.

    Raises:
        NotFinite: a statistic is not finite; names the examples.
    """
    views = sorted(objective.statistic_views)
    if not views:
        return {}
    names = _names(objective)
    sums = torch.zeros(len(names), 2, dtype=torch.float64, device=runtime.device)
    for group in scorer.micro_batches(own.encoded, views, budget):
        part = own.select(group)
        policy = scorer.log_probs(part.encoded, views)
        found = objective.statistics(policy, part.reference(views, scorer.device))
        _check(found, part)
        for row, name in zip(sums, names, strict=True):
            row += torch.stack([found[name].numerator.double().sum(), found[name].denominator.double().sum()])
    runtime.sum_([sums])
    return {name: numerator / denominator for name, (numerator, denominator) in zip(names, sums.tolist(), strict=True)}


def _names(objective: Objective) -> list[str]:
    """Names of the statistics, the same on every process, also where it has no examples."""
    blank = {view: torch.zeros(1) for view in sorted(objective.statistic_views)}
    ones = {view: torch.ones(1) for view in blank}
    values = LogProbs(blank, ones)
    return sorted(objective.statistics(values, values if objective.needs_reference else None))


def _check(found: Mapping[str, Ratio], part: Examples) -> None:
    from langxfer.engine.train import NotFinite

    for name, ratio in found.items():
        bad = [e.id for e, fine in zip(part.encoded, ratio.numerator.isfinite().tolist(), strict=True) if not fine]
        if bad:
            raise NotFinite(f"{name} is not finite for the examples {', '.join(bad[:5])}")
