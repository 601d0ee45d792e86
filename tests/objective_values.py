"""Log-probabilities fed to objectives by several test files, and what the trainer makes of the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from langxfer.components import Objective, Terms
from langxfer.data import View
from langxfer.engine.objectives import loss_of
from langxfer.logps import LogProbs

ORDER = (View.SS, View.ST, View.TS, View.TT)
PAIRS = [(View.SS, View.ST), (View.TT, View.TS)]  # chosen, rejected
KL = 0.7  # nats


def log_probs(totals: Tensor, tokens: dict[View, list[float]] | None = None) -> LogProbs:
    """``totals`` is ``[4, B]`` in the order SS, ST, TS, TT."""
    counts = tokens or {view: [3.0] * totals.shape[1] for view in ORDER}
    return LogProbs(
        dict(zip(ORDER, totals, strict=True)),
        {view: torch.tensor(counts[view], dtype=totals.dtype) for view in ORDER},
    )


def random_log_probs(seed: int, batch: int = 5) -> tuple[LogProbs, LogProbs]:
    """Policy and reference in float64, with token counts that differ by view and example."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = -20 * torch.rand(2, 4, batch, generator=generator, dtype=torch.float64)
    counts = {view: [float(3 + row + 2 * place) for row in range(batch)] for place, view in enumerate(ORDER)}
    return log_probs(policy, counts), log_probs(reference, counts)


def stacked(values: LogProbs) -> Tensor:
    """Totals as ``[4, B]``."""
    return torch.stack([values.total[view] for view in ORDER])


def counts_of(values: LogProbs) -> dict[View, list[float]]:
    return {view: values.tokens[view].tolist() for view in ORDER}


def permuted(values: LogProbs, order: Tensor) -> LogProbs:
    return LogProbs(
        {view: values.total[view][order] for view in ORDER}, {view: values.tokens[view][order] for view in ORDER}
    )


def terms_of(objective: Objective, policy: LogProbs, reference: LogProbs | None, kl: float = KL) -> Terms:
    """The loss as the trainer calls it; ``kl`` is the statistic of objectives that have one."""
    return loss_of(objective, policy, reference if objective.needs_reference else None, {"kl": kl})


def value(terms: Terms) -> Tensor:
    """What the trainer makes of the terms."""
    return sum(
        (t.coefficient * t.numerator.sum() / t.denominator.sum() for t in terms.parts.values()), torch.tensor(0.0)
    )


def loss_and_gradient(
    objective: Objective, policy: LogProbs, reference: LogProbs, kl: float = KL
) -> tuple[Tensor, Tensor]:
    """The scalar loss, and its gradient ``[4, B]`` into the policy."""
    totals = stacked(policy).requires_grad_()
    loss = value(terms_of(objective, log_probs(totals, counts_of(policy)), reference, kl))
    (gradient,) = torch.autograd.grad(loss, totals)
    return loss.detach(), gradient
