"""What the trainer relies on in an objective."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langxfer.components import Objective, Terms
from langxfer.data import View
from langxfer.testing.contracts import check_component, require

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs


def check_objective(objective: Objective) -> None:
    """Check what the trainer relies on, with random log-probabilities.

    The loss reads its views and no others, ``reference`` when it needs one; it is finite with a finite gradient, also
    at probability 1 and far from the reference; the gradient goes into the policy alone; an example's numbers depend
    on that example alone; denominators and coefficients depend on token counts alone.
    """
    import torch

    check_component(objective, Objective)
    views = sorted(objective.views)
    require(
        views and all(isinstance(view, View) for view in views),
        f"views is {views}; expected some of langxfer.data.View",
    )
    generator = torch.Generator().manual_seed(0)
    tokens = {view: torch.randint(1, 9, (5,), generator=generator).float() for view in views}
    policy, reference, far = (_random_log_probs(tokens, scale, generator) for scale in (2.0, 2.0, 1e3))
    _check_reads(objective, policy, reference)
    for scale, size in ((3.0, 5), (1e4, 3), (1e-3, 2), (0.0, 2), (2.0, 1)):
        counts = {view: own[:size] for view, own in tokens.items()}
        first, second, certain = (_random_log_probs(counts, nats, generator) for nats in (scale, scale, 0.0))
        for pair in ((first, second), (first, first), (certain, second)):
            _check_terms(objective, *pair)
    _check_denominators(objective, policy, far, reference)
    _check_rows(objective, policy, reference)


def _random_log_probs(tokens: Mapping[View, Tensor], scale: float, generator: Any) -> LogProbs:
    import torch

    from langxfer.logps import LogProbs

    return LogProbs({v: -scale * n * torch.rand(len(n), generator=generator) for v, n in tokens.items()}, tokens)


def _loss(objective: Objective, policy: LogProbs, reference: LogProbs) -> Terms:
    terms = objective.loss(policy, reference if objective.needs_reference else None)
    require(terms.parts, "loss gives no terms")
    return terms


def _check_terms(objective: Objective, policy: LogProbs, reference: LogProbs) -> None:
    import torch

    from langxfer.logps import LogProbs

    own = LogProbs({view: total.clone().requires_grad_() for view, total in policy.total.items()}, policy.tokens)
    fixed = LogProbs(
        {view: total.clone().requires_grad_() for view, total in reference.total.items()}, reference.tokens
    )
    terms = _loss(objective, own, fixed)
    shape = next(iter(policy.total.values())).shape
    for name, term in terms.parts.items():
        require(math.isfinite(term.coefficient), f"term {name}: its coefficient is {term.coefficient}")
        for label, values in (("numerator", term.numerator), ("denominator", term.denominator)):
            require(
                values.shape == shape,
                f"term {name}: {label} has shape {tuple(values.shape)}; expected [B] = {tuple(shape)}",
            )
            require(values.isfinite().all(), f"term {name}: {label} is not finite at policy {policy.total}")
        require(not term.denominator.requires_grad, f"term {name}: its denominator depends on log-probabilities")
        require(term.denominator.sum() > 0, f"term {name}: its denominators sum to {term.denominator.sum().item()}")
    for name, values in terms.metrics.items():
        require(values.shape == shape, f"metric {name} has shape {tuple(values.shape)}; expected [B] = {tuple(shape)}")
        require(values.isfinite().all(), f"metric {name} is not finite at policy {policy.total}")
    loss = torch.stack([term.coefficient * term.numerator.sum() for term in terms.parts.values()]).sum()
    require(loss.requires_grad, "no gradient goes into the policy")
    loss.backward()
    gradients = [total.grad for total in own.total.values() if total.grad is not None]
    require(gradients, "no gradient goes into the policy")
    require(
        all(gradient.isfinite().all() for gradient in gradients), f"the gradient is not finite at policy {policy.total}"
    )
    require(all(total.grad is None for total in fixed.total.values()), "a gradient goes into the reference: detach it")


class _Watched(Mapping[View, Any]):
    """A mapping that remembers what was read."""

    def __init__(self, values: Mapping[View, Any], read: set[View]):
        self._values, self._read = values, read

    def __getitem__(self, view: View) -> Any:
        require(view in self._values, f"loss reads view {View(view).value}, which is not among its views")
        self._read.add(view)
        return self._values[view]

    def __iter__(self) -> Iterator[View]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _check_reads(objective: Objective, policy: LogProbs, reference: LogProbs) -> None:
    from langxfer.logps import LogProbs

    read, referred = set[View](), set[View]()
    tokens = _Watched(policy.tokens, set())
    _loss(
        objective, LogProbs(_Watched(policy.total, read), tokens), LogProbs(_Watched(reference.total, referred), tokens)
    )
    unused = [view.value for view in sorted(objective.views - read)]
    require(not unused, f"views {', '.join(unused)} are computed but never read: leave them out of views")
    require(referred or not objective.needs_reference, "needs_reference is True, but the reference is never read")


def _check_denominators(objective: Objective, policy: LogProbs, other: LogProbs, reference: LogProbs) -> None:
    first, second = _loss(objective, policy, reference), _loss(objective, other, other)
    same = "must not depend on log-probabilities: the trainer knows them before any is computed"
    require(first.parts.keys() == second.parts.keys(), f"names of terms {same}")
    require(first.metrics.keys() == second.metrics.keys(), f"names of metrics {same}")
    for name, term in first.parts.items():
        require(term.coefficient == second.parts[name].coefficient, f"term {name}: its coefficient {same}")
        require(term.denominator.equal(second.parts[name].denominator), f"term {name}: its denominator {same}")


def _check_rows(objective: Objective, policy: LogProbs, reference: LogProbs) -> None:
    import torch

    from langxfer.logps import LogProbs

    def columns(rows: list[int]) -> dict[str, Tensor]:
        def some(values: LogProbs) -> LogProbs:
            return LogProbs(
                {v: x[rows] for v, x in values.total.items()}, {v: x[rows] for v, x in values.tokens.items()}
            )

        terms = _loss(objective, some(policy), some(reference))
        parts = {
            f"{kind} of term {n}": getattr(t, kind)
            for n, t in terms.parts.items()
            for kind in ("numerator", "denominator")
        }
        return {**parts, **{f"metric {name}": values for name, values in terms.metrics.items()}}

    every = columns([0, 1, 2, 3, 4])
    for rows in ([3, 0, 4, 2, 1], [2], [4, 1]):
        found = columns(rows)
        require(
            found.keys() == every.keys(), f"names of terms or metrics differ between batches: {set(found) ^ set(every)}"
        )
        for name, values in found.items():
            alike = torch.allclose(values.float(), every[name][rows].float(), rtol=1e-4, atol=1e-5)
            require(
                alike, f"{name}: an example's value changes with the other examples of the batch, or with their order"
            )
