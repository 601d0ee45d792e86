"""Supervised fine-tuning: the baseline of the CLO paper, and the first phase of SFT+DPO."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from langxfer.builtin.objectives.nll import REDUCTION_HELP, Answered, Reduction, in_order, nll_metrics, nll_term
from langxfer.components import Objective, Terms
from langxfer.data import View

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


class Sft(Objective):
    """Supervised fine-tuning: negative log-likelihood of answers in the language of their prompt.

    Both views are the paper's SFT baseline, ``[SS]`` its SFT-eng and ``[TT]`` its SFT-tgt.
    """

    directions_separate: ClassVar[bool] = True

    name: Literal["sft"] = "sft"
    views_: tuple[Answered, ...] = Field(
        ("SS", "TT"), alias="views", min_length=1, description="SS: source answers; TT: target answers."
    )
    nll_reduction: Reduction = Field("token_mean", description=REDUCTION_HELP)

    _ordered = field_validator("views_")(in_order)

    @property
    def views(self) -> frozenset[View]:
        return frozenset(View(view) for view in self.views_)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """One term, ``nll``, in nats per token or per response; metrics ``nll_<view>`` in nats per token, ``[B]``."""
        return Terms({"nll": nll_term(policy, self.views_, self.nll_reduction, 1.0)}, nll_metrics(policy, self.views_))
