"""No silent option: each option of each built-in objective changes the loss or its gradient.

The options are those of the classes, so one that is added without a case here fails this test.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from langxfer import plugins
from langxfer.components import Objective
from langxfer.data import MismatchedView
from langxfer.engine.objectives import loss_of
from langxfer.logps import LogProbs
from tests.objective_values import counts_of, log_probs, random_log_probs, stacked, value

PAIR_OPTIONS: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "beta": [({"preference": form}, 0.2) for form in ("sigmoid", "ipo", "hinge")],
    "preference": [({}, "ipo"), ({}, "hinge"), ({"ratio_reduction": "token_mean"}, "ipo")],
    "label_smoothing": [({}, 0.1)],
    "ratio_reduction": [({"preference": form}, "token_mean") for form in ("sigmoid", "ipo", "hinge")],
}
NLL_OPTIONS: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "nll_views": [({}, ["SS"]), ({"nll_reduction": "sequence_sum"}, ["SS"])],
    "nll_reduction": [({}, "sequence_sum")],
}
# objective -> option -> (other options, a value that is not the default)
CASES: dict[str, dict[str, list[tuple[dict[str, Any], Any]]]] = {
    "sft": {"views": [({}, ["SS"])], "nll_reduction": [({}, "sequence_sum")]},
    "dpo": PAIR_OPTIONS,
    "clo": {**PAIR_OPTIONS, **NLL_OPTIONS, "lambda": [({"preference": f}, 0.4) for f in ("sigmoid", "ipo", "hinge")]},
    "orpo": {**NLL_OPTIONS, "lambda": [({}, 0.2)]},
    "cpo": {**NLL_OPTIONS, "beta": [({}, 0.2)], "alpha": [({}, 0.5)]},
    "kto": {
        "beta": [({}, 0.2)],
        "desirable_weight": [({}, 1.3)],
        "undesirable_weight": [({}, 1.3)],
        "kl_views": [({}, ["SS+1"]), ({}, ["SS+1", "ST+1", "TS+1", "TT+1"])],
    },
}
CLASSES = {
    name: cls for name, cls in plugins.load().classes("objective").items() if cls.__module__.startswith("langxfer.")
}


def loss_and_gradient(objective: Objective) -> tuple[Tensor, Tensor]:
    """With statistics computed from mismatched log-probabilities, as the trainer does it."""
    policy, reference = random_log_probs(10)
    generator = torch.Generator().manual_seed(3)
    pairs = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64)
    mismatched, fixed = (LogProbs(dict(zip(MismatchedView, own, strict=True)), {}) for own in pairs)
    found = objective.statistics(mismatched, fixed) if objective.statistic_views else {}
    statistics = {name: float(own.numerator.sum() / own.denominator.sum()) for name, own in found.items()}
    totals = stacked(policy).requires_grad_()
    own = log_probs(totals, counts_of(policy))
    loss = value(loss_of(objective, own, reference if objective.needs_reference else None, statistics))
    return loss.detach(), torch.autograd.grad(loss, totals)[0]


def test_every_option_has_a_case() -> None:
    assert CASES.keys() == CLASSES.keys()
    for name, cls in CLASSES.items():
        options = {info.alias or field for field, info in cls.model_fields.items()} - {"name"}
        assert options == CASES[name].keys(), name


@pytest.mark.parametrize(
    ("name", "option", "others", "other"),
    [(name, option, *case) for name, own in CASES.items() for option, cases in own.items() for case in cases],
    ids=str,
)
def test_every_option_changes_the_loss_or_its_gradient(
    name: str, option: str, others: dict[str, Any], other: Any
) -> None:
    before, after = CLASSES[name](**others), CLASSES[name](**others, **{option: other})
    assert before.what() != after.what()
    (first, first_gradient), (second, second_gradient) = loss_and_gradient(before), loss_and_gradient(after)
    changed = not torch.allclose(first, second, rtol=1e-6) or not torch.allclose(
        first_gradient, second_gradient, rtol=1e-6
    )
    assert changed
