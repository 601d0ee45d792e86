"""Contrastive preference optimisation (arXiv 2401.08417) on the four views."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from langxfer.builtin.objectives.nll import (
    REDUCTION_HELP,
    VIEWS_HELP,
    Answered,
    Reduction,
    in_order,
    nll_metrics,
    nll_term,
)
from langxfer.builtin.objectives.pairs import ALL_VIEWS, PAIRS, mean_over_pairs, reward_metrics
from langxfer.components import Objective, Terms
from langxfer.data import View

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


class Cpo(Objective):
    """Contrastive preference optimisation: ``preference + alpha * NLL`` (arXiv 2401.08417), without a reference.

    The preference (equation 3) is the mean over the two pairs of every example: the answer in the language
    of the prompt over the same answer in the other language. NLL covers the chosen answers of both languages.
    """

    directions_separate: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS

    name: Literal["cpo"] = "cpo"
    beta: float = Field(0.1, gt=0, description="Scale of the difference of log-probabilities (equation 3).")
    alpha: float = Field(1.0, ge=0, description="Weight of NLL; the preference has weight 1. The paper's is 1.")
    nll_views: tuple[Answered, ...] = Field(("SS", "TT"), min_length=1, description=VIEWS_HELP)
    nll_reduction: Reduction = Field("token_mean", description=REDUCTION_HELP)

    _ordered = field_validator("nll_views")(in_order)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """Terms ``preference`` (nats per pair) and ``nll``, and metrics ``[B]``.

        ``chosen_*`` and ``rejected_*`` are beta times log-probabilities; ``margin_*`` and ``accuracy_*`` compare
        them. ``nll_<view>`` is in nats per token.
        """
        from langxfer.losses import cpo

        source, target = (
            cpo(policy.total[chosen], policy.total[rejected], self.beta) for chosen, rejected in PAIRS.values()
        )
        parts = {
            "preference": mean_over_pairs(1.0, source, target),
            "nll": nll_term(policy, self.nll_views, self.nll_reduction, self.alpha),
        }
        return Terms(parts, {**reward_metrics(policy.total, self.beta), **nll_metrics(policy, self.nll_views)})
