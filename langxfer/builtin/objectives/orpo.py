"""Odds-ratio preference optimisation (arXiv 2403.07691) on the four views."""

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
from langxfer.builtin.objectives.pairs import ALL_VIEWS, PAIRS, mean_over_pairs
from langxfer.components import Objective, Terms
from langxfer.data import View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs


class Orpo(Objective):
    """Odds-ratio preference optimisation: ``NLL + lambda * odds ratio`` (arXiv 2403.07691, equation 6).

    The odds ratio (equation 7) compares the answer in the language of the prompt with the same answer in the
    other language, by probabilities per token, and is the mean over both languages of the prompt. NLL covers
    the chosen answers of both languages. No reference is needed.
    """

    directions_separate: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS

    name: Literal["orpo"] = "orpo"
    lambda_: float = Field(
        0.1, alias="lambda", ge=0, description="Weight of the odds ratio; NLL has weight 1 (equation 6)."
    )
    nll_views: tuple[Answered, ...] = Field(("SS", "TT"), min_length=1, description=VIEWS_HELP)
    nll_reduction: Reduction = Field("token_mean", description=REDUCTION_HELP)

    _ordered = field_validator("nll_views")(in_order)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """Terms ``nll`` and ``odds_ratio`` (nats per pair), and metrics ``[B]``.

        ``log_odds_ratio_<side>`` by language of the prompt, and ``accuracy_<side>``, 1 where it is above 0;
        ``nll_<view>`` in nats per token.
        """
        from langxfer.losses import odds_ratio

        source, target = (odds_ratio(policy.mean(chosen), policy.mean(rejected)) for chosen, rejected in PAIRS.values())
        parts = {
            "nll": nll_term(policy, self.nll_views, self.nll_reduction, 1.0),
            "odds_ratio": mean_over_pairs(self.lambda_, source, target),
        }
        return Terms(parts, {**_odds_metrics(policy), **nll_metrics(policy, self.nll_views)})


def _odds_metrics(policy: LogProbs) -> dict[str, Tensor]:
    from langxfer.losses import log_odds_ratio

    metrics: dict[str, Tensor] = {}
    for side, (chosen, rejected) in PAIRS.items():
        ratio = log_odds_ratio(policy.mean(chosen).detach(), policy.mean(rejected).detach())
        metrics[f"log_odds_ratio_{side}"] = ratio
        metrics[f"accuracy_{side}"] = (ratio > 0).to(ratio.dtype)
    return metrics
