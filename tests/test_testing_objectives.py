"""check_objective: what is right passes, and every kind of mistake is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from langxfer import plugins
from langxfer.builtin.objectives import Clo, Cpo, Dpo, Kto, Orpo, Sft
from langxfer.builtin.selectors import FullSelector
from langxfer.components import Objective, Ratio, Term, Terms
from langxfer.data import MismatchedView, View
from langxfer.logps import LogProbs
from langxfer.testing import check_objective

FAULTS: dict[str, str] = {
    "in_place": "changes the reference in place",
    "detached": "no gradient goes into the policy",
    "batch_mean": "changes with the other examples of the batch",
    "neighbour": "changes with the other examples of the batch",
    "scalar": r"expected \[B\]",
    "denominator": "depends on log-probabilities",
    "detached_denominator": "must not depend on log-probabilities",
    "unstable": "is not finite",
    "nan_gradient": "gradient is not finite",
    "other_view": "reads view SS",
    "unread_view": "views ST are computed but never read",
    "unread_reference": "the reference is never read",
    "names": "names of terms must not depend",
    "coefficient": "coefficient must not depend",
    "metric": "metric odd has shape",
    "no_terms": "no terms",
    "no_class": "loss returned .*; expected langxfer.Terms",
    "reserved": 'a metric is called "loss", a name that the trainer logs something else under',
    "twice": 'a term and a metric are called "preference"; both are logged under their names',
}


class Faulty(Objective):
    """Prefers TT over TS; ``fault`` says what is wrong with it."""

    needs_reference: ClassVar[bool] = True
    name: Literal["faulty"] = "faulty"
    fault: str = ""

    @property
    def views(self) -> frozenset[View]:
        return frozenset({View.TT, View.TS, *([View.ST] if self.fault == "unread_view" else [])})

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        assert reference is not None
        chosen, rejected = policy.total[View.TT], policy.total[View.TS]
        if self.fault != "unread_reference":
            fixed = reference.total[View.TT] - reference.total[View.TS]
            margin = chosen - rejected - fixed
            if self.fault == "in_place":
                reference.total[View.TT].sub_(1)
        else:
            margin = chosen - rejected
        if self.fault == "nan_gradient":
            margin = margin + 0 * (-chosen).sqrt()
        softplus = torch.nn.functional.softplus
        loss = torch.log(1 + torch.exp(-margin)) if self.fault == "unstable" else softplus(-margin)
        ones = torch.ones_like(loss).detach()
        denominator = {"denominator": chosen.abs() + 1, "detached_denominator": chosen.detach().abs() + 1}.get(
            self.fault, ones
        )
        loss = {
            "detached": loss.detach(),
            "batch_mean": loss - loss.mean(),
            "neighbour": loss + loss.roll(1),
            "scalar": loss.mean(),
        }.get(self.fault, loss)
        name = "high" if self.fault == "names" and float(chosen.detach().sum()) < -1000 else "preference"
        coefficient = float(1 + chosen.detach().mean().tanh()) if self.fault == "coefficient" else 1.0
        if self.fault == "other_view":
            loss = loss + policy.total[View.SS]
        if self.fault == "no_terms":
            return Terms({})
        if self.fault == "no_class":
            return {name: Term(coefficient, loss, denominator)}  # type: ignore[return-value]
        metrics = {"margin": margin.detach(), **({"odd": margin.detach().mean()} if self.fault == "metric" else {})}
        metrics |= {own: margin.detach() for own in {"reserved": ["loss"], "twice": [name]}.get(self.fault, [])}
        return Terms({name: Term(coefficient, loss, denominator)}, metrics)


OBJECTIVES = [
    Clo(),
    Clo(**{"lambda": 1.0}),
    Clo(**{"lambda": 0.0, "nll_views": ["SS", "TT"]}),
    Dpo(beta=2.0),
    Dpo(preference="ipo", ratio_reduction="token_mean"),
    Clo(preference="hinge"),
    Sft(),
    Sft(views=["TT"]),
    Orpo(),
    Kto(kl_views=["ST+1", "TT+1"]),
    Cpo(),
    Faulty(),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_sound_objectives_pass(objective: Objective) -> None:
    check_objective(objective)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_objective_is_named(fault: str) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_objective(Faulty(fault=fault))


STATISTIC_FAULTS: dict[str, str] = {
    "plain_view": "expected some of langxfer.data.MismatchedView",
    "other_view": "reads view TT\\+1, which is not among its statistic_views",
    "unread_view": r"statistic views ST\+1 are computed but never read",
    "none": "statistics gives none",
    "scalar": r"numerator has shape \(\); expected \[B\]",
    "neighbour": "numerator changes with the other examples",
    "denominator": "its denominator must not depend on log-probabilities",
    "empty": "its denominators sum to 0",
    "not_finite": "numerator is not finite",
    "unread": "statistics shift are computed but never read by loss",
    "unknown": "loss reads statistic drift, which statistics does not give",
    "clash": 'a metric and a statistic are called "shift"',
    "reserved": 'a statistic is called "flops"',
    "coefficient": "its coefficient must not depend on statistics",
    "loss_denominator": "its denominator must not depend on statistics",
    "explodes": "numerator is not finite at a statistic of",
    "loss_view": r"loss reads view SS\+1, which is not among its views",
}


class Shifted(Objective):
    """NLL less the mean of a mismatched view; ``fault`` says what is wrong with it."""

    name: Literal["shifted"] = "shifted"
    fault: str = ""
    views: ClassVar[frozenset[View]] = frozenset({View.TT})

    @property
    def statistic_views(self) -> frozenset[Any]:
        if self.fault == "plain_view":
            return frozenset({View.SS})
        return frozenset({MismatchedView.SS, *([MismatchedView.ST] if self.fault == "unread_view" else [])})

    def statistics(self, policy: LogProbs, reference: LogProbs | None) -> Mapping[str, Ratio]:
        total = policy.total[MismatchedView.TT if self.fault == "other_view" else MismatchedView.SS]
        numerator = {
            "scalar": total.sum(),
            "neighbour": total + total.roll(1),
            "not_finite": total / (total - total),
        }.get(self.fault, total)
        denominator = {"denominator": total.abs(), "empty": torch.zeros_like(total)}.get(
            self.fault, torch.ones_like(total)
        )
        name = "flops" if self.fault == "reserved" else "shift"
        return {} if self.fault == "none" else {name: Ratio(numerator, denominator)}

    def loss(
        self, policy: LogProbs, reference: LogProbs | None, statistics: Mapping[str, float] | None = None
    ) -> Terms:
        assert statistics is not None
        name = {"unknown": "drift", "reserved": "flops"}.get(self.fault, "shift")
        shift = 0.0 if self.fault == "unread" else statistics[name]
        loss = torch.nn.functional.softplus(-policy.total[View.TT] - shift)
        if self.fault == "explodes":
            loss = loss * (torch.tensor(shift).exp() + 1)
        if self.fault == "loss_view":
            loss = loss + policy.total[MismatchedView.SS]
        denominator = torch.ones_like(loss).detach() + (abs(shift) if self.fault == "loss_denominator" else 0)
        term = Term(1 + shift**2 if self.fault == "coefficient" else 1.0, loss, denominator)
        return Terms({"nll": term}, {"shift" if self.fault == "clash" else "size": loss.detach()})


@pytest.mark.parametrize("fault", STATISTIC_FAULTS)
def test_every_fault_of_a_statistic_is_named(fault: str) -> None:
    check_objective(Shifted())
    with pytest.raises(AssertionError, match=STATISTIC_FAULTS[fault]):
        check_objective(Shifted(fault=fault))


class Mixed(Objective):
    """A sum over directions, or not."""

    needs_reference: ClassVar[bool] = True
    directions_separate: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = frozenset(View)
    name: Literal["mixed"] = "mixed"
    form: str = "sum"

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        assert reference is not None
        gains = {view: policy.total[view] - reference.total[view].detach() for view in View}
        source, target = gains[View.SS] - gains[View.ST], gains[View.TT] - gains[View.TS]
        softplus = torch.nn.functional.softplus
        loss = {
            "sum": lambda: softplus(-source) + softplus(-target),
            "inside": lambda: softplus(-source - target),
            "product": lambda: softplus(-source) * softplus(-target),
            "crossed": lambda: softplus(gains[View.ST] - gains[View.TT]) + softplus(gains[View.TS] - gains[View.SS]),
            "gate": lambda: softplus(-source) * (target > 0) + softplus(-target),
            "tokens": lambda: softplus(-source) / policy.tokens[View.TT] + softplus(-target),
        }[self.form]()
        return Terms({"preference": Term(1.0, loss, torch.ones_like(loss).detach())})


@pytest.mark.parametrize("form", ["inside", "product", "crossed", "gate", "tokens"])
def test_a_false_promise_of_separate_directions_is_named(form: str) -> None:
    check_objective(Mixed())
    with pytest.raises(AssertionError, match="directions_separate is True, but term preference is no sum"):
        check_objective(Mixed(form=form))


def test_built_in_objectives_separate_their_directions() -> None:
    classes = plugins.load().classes("objective").values()
    assert all(cls.directions_separate for cls in classes if cls.__module__.startswith("langxfer."))
    assert not Objective.directions_separate


def test_options_that_json_cannot_hold_are_named() -> None:
    class Odd(Sft):
        def identity(self) -> dict[str, Any]:
            return {"path": Path("x")}

    with pytest.raises(AssertionError, match="not JSON"):
        check_objective(Odd())
    with pytest.raises(AssertionError, match="not a subclass of Objective"):
        check_objective(FullSelector())  # type: ignore[arg-type]
