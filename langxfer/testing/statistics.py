"""What the trainer relies on where an objective declares statistics of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langxfer.components import Objective, Ratio
from langxfer.data import MismatchedView
from langxfer.engine.objectives import loss_of
from langxfer.testing.contracts import require
from langxfer.testing.log_probs import Watched, random_log_probs, random_tokens, some

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


def made_up(names: list[str], number: float, read: set[str]) -> Watched:
    """Statistics that are all ``number``; ``read`` is told which of them the loss reads."""
    return Watched(dict.fromkeys(names, number), read, "loss reads statistic {name}, which statistics does not give")


def check_statistics(objective: Objective, generator: Any) -> list[str]:
    """Names of the statistics, after a check of ``statistics`` with random log-probabilities; none for most.

    It reads its views and no others; its numbers are finite; an example's depend on that example alone, and
    denominators on token counts alone.
    """
    views = sorted(objective.statistic_views)
    require(
        all(isinstance(view, MismatchedView) for view in views),
        f"statistic_views is {views}; expected some of langxfer.data.MismatchedView",
    )
    if not views:
        return []
    tokens = random_tokens(views, 5, generator)
    policy, reference, far = (random_log_probs(tokens, scale, generator) for scale in (2.0, 2.0, 1e3))
    _check_reads(objective, policy, reference)
    found = _statistics(objective, policy, reference)
    for pair in ((policy, reference), (far, reference), (policy, policy)):
        for name, ratio in _statistics(objective, *pair).items():
            _check_ratio(name, ratio, len(tokens[views[0]]))
            same = name in found and ratio.denominator.equal(found[name].denominator)
            require(same, f"statistic {name}: its denominator must not depend on log-probabilities")
    _check_rows(objective, policy, reference, found)
    return sorted(found)


def _statistics(objective: Objective, policy: LogProbs, reference: LogProbs) -> Mapping[str, Ratio]:
    found = objective.statistics(policy, reference if objective.needs_reference else None)
    require(found, "statistic_views is not empty, but statistics gives none")
    return found


def _check_reads(objective: Objective, policy: LogProbs, reference: LogProbs) -> None:
    from langxfer.logps import LogProbs

    absent, read = "statistics reads view {name}, which is not among its statistic_views", set[str]()
    tokens = Watched(policy.tokens, set(), absent)
    _statistics(
        objective,
        LogProbs(Watched(policy.total, read, absent), tokens),
        LogProbs(Watched(reference.total, set(), absent), tokens),
    )
    unused = [str(view) for view in sorted(objective.statistic_views - read)]
    require(not unused, f"statistic views {', '.join(unused)} are computed but never read: leave them out")


def _check_ratio(name: str, ratio: Ratio, examples: int) -> None:
    for label, values in (("numerator", ratio.numerator), ("denominator", ratio.denominator)):
        shape = tuple(values.shape)
        require(shape == (examples,), f"statistic {name}: {label} has shape {shape}; expected [B] = ({examples},)")
        require(values.isfinite().all(), f"statistic {name}: {label} is not finite")
    require(ratio.denominator.sum() > 0, f"statistic {name}: its denominators sum to {ratio.denominator.sum().item()}")


def _check_rows(objective: Objective, policy: LogProbs, reference: LogProbs, every: Mapping[str, Ratio]) -> None:
    import torch

    for rows in ([3, 0, 4, 2, 1], [2]):
        for name, ratio in _statistics(objective, some(policy, rows), some(reference, rows)).items():
            for label in ("numerator", "denominator"):
                alike = torch.allclose(getattr(ratio, label), getattr(every[name], label)[rows], rtol=1e-4, atol=1e-5)
                require(alike, f"statistic {name}: an example's {label} changes with the other examples of the batch")


def check_use_of_statistics(
    objective: Objective, names: list[str], policy: LogProbs, reference: LogProbs | None
) -> None:
    """The loss reads every statistic, and nothing but numerators and metrics depends on one."""
    if not names:
        return
    read = set[str]()
    first = loss_of(objective, policy, reference, made_up(names, 0.5, read))
    unused = sorted(set(names) - read)
    require(not unused, f"statistics {', '.join(unused)} are computed but never read by loss")
    for number in (-3.0, 40.0, 1e4):
        second = loss_of(objective, policy, reference, made_up(names, number, read))
        same = "must not depend on statistics"
        require(first.parts.keys() == second.parts.keys(), f"names of terms {same}")
        require(first.metrics.keys() == second.metrics.keys(), f"names of metrics {same}")
        for name, term in second.parts.items():
            require(term.coefficient == first.parts[name].coefficient, f"term {name}: its coefficient {same}")
            require(term.denominator.equal(first.parts[name].denominator), f"term {name}: its denominator {same}")
            require(term.numerator.isfinite().all(), f"term {name}: numerator is not finite at a statistic of {number}")
