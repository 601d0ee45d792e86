"""Statistics of the whole batch, which an objective may declare: plain numbers, known before the loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from langxfer.components import Objective
from langxfer.engine.forward import Scorer, token_counts
from langxfer.engine.head import precise
from langxfer.engine.runtime import Runtime
from langxfer.logps import LogProbs

if TYPE_CHECKING:
    from langxfer.engine.step import Examples


class NotFinite(Exception):
    """A log-probability, a loss or a gradient is not a number; the text names the step or the examples."""


@torch.no_grad()
def batch_statistics(
    scorer: Scorer, objective: Objective, own: Examples, runtime: Runtime, budget: int
) -> dict[str, float]:
    """The objective's statistics of the GLOBAL batch, of which ``own`` is this process's share; {} for none.

    Numerators and denominators are summed over the examples of all processes before one is divided by the other, so
    that neither micro-batches of ``budget`` tokens nor processes change the result. Dropout is the caller's to switch
    off. A process without examples takes part in the sum.

    Raises:
        NotFinite: a statistic is not finite; names the examples.
    """
    views = sorted(objective.statistic_views)
    if not views:
        return {}
    names = _names(objective)
    sums = torch.zeros(len(names), 2, dtype=torch.float64, device=runtime.device)
    if own.encoded:
        kind = precise(scorer.head.weight.dtype)
        total = {view: torch.zeros(len(own.encoded), dtype=kind, device=scorer.device) for view in views}
        for units in scorer.micro_batches(own.encoded, views, budget):
            for number, view, scores in scorer.score(units):
                total[view][number] = scores.sum()
        policy = LogProbs(total, token_counts(own.encoded, views, scorer.device))
        found = objective.statistics(policy, own.reference(views, scorer.device))
        for row, name in zip(sums, names, strict=True):
            refuse_not_finite([example.id for example in own.encoded], found[name].numerator, name)
            row += torch.stack([found[name].numerator.double().sum(), found[name].denominator.double().sum()])
    runtime.sum_([sums])
    return {name: numerator / denominator for name, (numerator, denominator) in zip(names, sums.tolist(), strict=True)}


def _names(objective: Objective) -> list[str]:
    """Names of the statistics, the same on every process, also where it has no examples."""
    blank = {view: torch.zeros(1) for view in sorted(objective.statistic_views)}
    ones = {view: torch.ones(1) for view in blank}
    values = LogProbs(blank, ones)
    return sorted(objective.statistics(values, values if objective.needs_reference else None))


def refuse_not_finite(ids: Sequence[str], values: Iterable[Tensor], what: str) -> None:
    """Raises ``NotFinite`` when one of the values, one for each example, is not a finite number."""
    finite = torch.stack([value.detach() for value in values]).isfinite().tolist()
    bad = [name for name, fine in zip(ids, finite, strict=True) if not fine]
    if bad:
        raise NotFinite(f"{what} is not finite for the examples {', '.join(dict.fromkeys(bad[:5]))}")
