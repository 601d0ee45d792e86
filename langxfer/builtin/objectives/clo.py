"""Cross-lingual optimisation (arXiv 2505.14297): what this project is built around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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
from langxfer.builtin.objectives.pairs import ReferencedPairs, margins, reward_metrics
from langxfer.components import Term, Terms

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


class Clo(ReferencedPairs):
    """Cross-lingual optimisation: ``lambda * NLL + (1 - lambda) * preference`` (arXiv 2505.14297, equation 3).

    The preference (equations 5 to 7) is the sum over both languages of the prompt: 2 ln 2 before
    the first step. NLL (equation 4) covers target answers; ``nll_views`` opens the ablation of table 5.
    The paper's preference is ``sigmoid``; the others are those of ``dpo``.
    """

    name: Literal["clo"] = "clo"
    lambda_: float = Field(
        0.5, alias="lambda", ge=0, le=1, description="Weight of NLL; the preference gets 1 - lambda (equation 3)."
    )
    nll_views: tuple[Answered, ...] = Field(("TT",), min_length=1, description=VIEWS_HELP)
    nll_reduction: Reduction = Field("token_mean", description=REDUCTION_HELP)

    _ordered = field_validator("nll_views")(in_order)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """Terms ``nll`` and ``preference``, and metrics ``[B]``.

        ``margin_source`` and ``margin_target`` are z of equations 6 and 7: beta times nats.
        ``accuracy_*`` is 1 where the margin is above 0. ``chosen_*`` and ``rejected_*`` are the implicit
        rewards, beta times (policy - reference). ``nll_<view>`` is in nats per token.
        """
        from langxfer.losses import clo

        assert reference is not None
        ratios = self.log_ratios(policy, reference)
        preference = clo(*margins(ratios), self.pair_loss())
        parts = {
            "nll": nll_term(policy, self.nll_views, self.nll_reduction, self.lambda_),
            "preference": Term(1 - self.lambda_, preference, preference.new_ones(preference.shape)),
        }
        return Terms(parts, {**reward_metrics(ratios, self.beta), **nll_metrics(policy, self.nll_views)})
