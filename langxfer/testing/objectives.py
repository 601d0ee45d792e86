"""What the trainer relies on in an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langxfer.components import Objective, Terms
from langxfer.data import Side, View
from langxfer.engine.objectives import loss_of
from langxfer.testing.contracts import check_component, require
from langxfer.testing.log_probs import Watched, random_log_probs, random_tokens, some
from langxfer.testing.statistics import check_statistics, check_use_of_statistics, made_up

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs

ABSENT = "loss reads view {name}, which is not among its views"


def check_objective(objective: Objective) -> None:
    """Check what the trainer relies on, with random log-probabilities.

    The loss reads its views and no others, ``reference`` when it needs one; it is finite with a finite gradient, also
    at probability 1 and far from the reference; a gradient goes into the policy, and the reference, which has none here
    as in a run, stays as it is; shapes and names are those that ``Terms`` asks for; an example's numbers depend on
    that example alone; denominators and coefficients depend on token counts alone. The same holds for statistics that
    it declares, and it keeps the promise of ``directions_separate`` if it makes it.
    """
    import torch

    check_component(objective, Objective)
    views = sorted(objective.views)
    require(
        views and all(isinstance(view, View) for view in views),
        f"views is {views}; expected some of langxfer.data.View",
    )
    generator = torch.Generator().manual_seed(0)
    tokens = random_tokens(views, 5, generator)
    policy, reference, far = (random_log_probs(tokens, scale, generator) for scale in (2.0, 2.0, 1e3))
    checked = _Checked(objective, check_statistics(objective, generator))
    _check_reads(checked, policy, reference)
    check_use_of_statistics(objective, checked.statistics, policy, reference if objective.needs_reference else None)
    for scale, size in ((3.0, 5), (1e4, 3), (1e-3, 2), (0.0, 2), (2.0, 1)):
        counts = {view: own[:size] for view, own in tokens.items()}
        first, second, certain = (random_log_probs(counts, nats, generator) for nats in (scale, scale, 0.0))
        for pair in ((first, second), (first, first), (certain, second)):
            _check_terms(checked, *pair)
    _check_denominators(checked, policy, far, reference)
    _check_rows(checked, policy, reference)
    if objective.directions_separate:
        _check_directions(checked, generator)


class _Checked:
    """An objective whose loss is called with statistics where it has any."""

    def __init__(self, objective: Objective, statistics: list[str]):
        self.objective, self.statistics = objective, statistics

    def loss(self, policy: LogProbs, reference: LogProbs) -> Terms:
        from langxfer.engine.terms import problem_of

        own = self.objective
        fixed = reference if own.needs_reference else None
        terms = loss_of(own, policy, fixed, made_up(self.statistics, 0.5, set()))
        problem = problem_of(terms, self.statistics, len(next(iter(policy.tokens.values()))))
        require(problem is None, problem or "")
        return terms


def _check_terms(checked: _Checked, policy: LogProbs, reference: LogProbs) -> None:
    import torch

    from langxfer.logps import LogProbs

    own = LogProbs({view: total.clone().requires_grad_() for view, total in policy.total.items()}, policy.tokens)
    fixed = LogProbs({view: total.clone() for view, total in reference.total.items()}, reference.tokens)
    terms = checked.loss(own, fixed)
    for name, term in terms.parts.items():
        for label, values in (("numerator", term.numerator), ("denominator", term.denominator)):
            require(values.isfinite().all(), f"term {name}: {label} is not finite at policy {policy.total}")
        require(not term.denominator.requires_grad, f"term {name}: its denominator depends on log-probabilities")
    for name, values in terms.metrics.items():
        require(values.isfinite().all(), f"metric {name} is not finite at policy {policy.total}")
    loss = torch.stack([term.coefficient * term.numerator.sum() for term in terms.parts.values()]).sum()
    require(loss.requires_grad, "no gradient goes into the policy")
    loss.backward()
    gradients = [total.grad for total in own.total.values() if total.grad is not None]
    require(gradients, "no gradient goes into the policy")
    require(
        all(gradient.isfinite().all() for gradient in gradients), f"the gradient is not finite at policy {policy.total}"
    )
    same = all(total.equal(reference.total[view]) for view, total in fixed.total.items())
    require(same, "loss changes the reference in place, and the trainer reads it again: make new tensors")


def _check_reads(checked: _Checked, policy: LogProbs, reference: LogProbs) -> None:
    from langxfer.logps import LogProbs

    objective, read, referred = checked.objective, set[str](), set[str]()
    tokens = Watched(policy.tokens, set(), ABSENT)
    checked.loss(
        LogProbs(Watched(policy.total, read, ABSENT), tokens),
        LogProbs(Watched(reference.total, referred, ABSENT), tokens),
    )
    unused = [view.value for view in sorted(objective.views - read)]
    require(not unused, f"views {', '.join(unused)} are computed but never read: leave them out of views")
    require(referred or not objective.needs_reference, "needs_reference is True, but the reference is never read")


def _check_denominators(checked: _Checked, policy: LogProbs, other: LogProbs, reference: LogProbs) -> None:
    first, second = checked.loss(policy, reference), checked.loss(other, other)
    same = "must not depend on log-probabilities: the trainer knows them before any is computed"
    require(first.parts.keys() == second.parts.keys(), f"names of terms {same}")
    require(first.metrics.keys() == second.metrics.keys(), f"names of metrics {same}")
    for name, term in first.parts.items():
        require(term.coefficient == second.parts[name].coefficient, f"term {name}: its coefficient {same}")
        require(term.denominator.equal(second.parts[name].denominator), f"term {name}: its denominator {same}")


def _check_rows(checked: _Checked, policy: LogProbs, reference: LogProbs) -> None:
    import torch

    def columns(rows: list[int]) -> dict[str, Tensor]:
        terms = checked.loss(some(policy, rows), some(reference, rows))
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


def _check_directions(checked: _Checked, generator: Any) -> None:
    """A term is f(source prompts) + g(target prompts): neither changes what the other one adds, or its gradient."""
    for scale in (0.3, 3.0, 30.0):
        tokens, other_tokens = (random_tokens(sorted(checked.objective.views), 5, generator) for _ in range(2))
        first = _Values(*(random_log_probs(tokens, scale, generator) for _ in range(2)))
        second = _Values(*(random_log_probs(other_tokens, scale, generator) for _ in range(2)))
        for side in Side:
            mixed, opposite = first.with_prompts(side, second), second.with_prompts(side, first)
            found = {n: _numerators(checked, values) for n, values in enumerate((first, mixed, opposite, second))}
            for name, numerator in found[0].items():
                change, same = numerator - found[1][name], found[2][name] - found[3][name]
                size = sum(float(own[name].abs().max()) for own in found.values())
                require(float((change - same).abs().max()) <= 1e-4 * (1 + size), _NOT_SEPARATE.format(name=name))
            _check_slopes(checked, first, mixed, side)


_NOT_SEPARATE = (
    "directions_separate is True, but term {name} is no sum of a part for source prompts (SS, ST) "
    "and a part for target prompts (TS, TT)"
)


class _Values:
    """Policy and reference, which can take the values of one direction from others."""

    def __init__(self, policy: LogProbs, reference: LogProbs):
        self.policy, self.reference = policy, reference

    def with_prompts(self, side: Side, others: _Values) -> _Values:
        """These values, but those of views with prompts of ``side`` from ``others``."""
        from langxfer.logps import LogProbs

        def pick(own: Mapping[Any, Tensor], other: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
            return {view: (other if view.prompt is side else own)[view] for view in own}

        def mix(own: LogProbs, other: LogProbs) -> LogProbs:
            return LogProbs(pick(own.total, other.total), pick(own.tokens, other.tokens))

        return _Values(mix(self.policy, others.policy), mix(self.reference, others.reference))


def _numerators(checked: _Checked, values: _Values) -> dict[str, Tensor]:
    terms = checked.loss(values.policy, values.reference)
    return {name: term.numerator.detach().double() for name, term in terms.parts.items()}


def _check_slopes(checked: _Checked, first: _Values, mixed: _Values, changed: Side) -> None:
    """The gradient of each term into the views of the other direction is the same for both."""
    import torch

    from langxfer.logps import LogProbs

    def slopes(values: _Values) -> dict[tuple[str, View], Tensor]:
        own = {view: total.clone().requires_grad_() for view, total in values.policy.total.items()}
        terms = checked.loss(LogProbs(own, values.policy.tokens), values.reference)
        kept = [view for view in own if view.prompt is not changed]
        found: dict[tuple[str, View], Tensor] = {}
        for name, term in terms.parts.items():
            if kept and term.numerator.requires_grad:
                given = torch.autograd.grad(
                    term.numerator.sum(), [own[view] for view in kept], retain_graph=True, materialize_grads=True
                )
                found |= {(name, view): slope for view, slope in zip(kept, given, strict=True)}
        return found

    before, after = slopes(first), slopes(mixed)
    for (name, view), slope in before.items():
        require(torch.allclose(slope, after[name, view], rtol=1e-4, atol=1e-6), _NOT_SEPARATE.format(name=name))
