"""Kahneman-Tversky optimisation (arXiv 2402.01306) on the four views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from langxfer.builtin.objectives.nll import in_order
from langxfer.builtin.objectives.pairs import ALL_VIEWS
from langxfer.components import Objective, Ratio, Term, Terms
from langxfer.data import MismatchedView, View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs

DESIRABLE = (View.SS, View.TT)
UNDESIRABLE = (View.ST, View.TS)
Pairing = Literal["SS+1", "ST+1", "TS+1", "TT+1"]


class Kto(Objective):
    """Kahneman-Tversky optimisation: single responses, desirable or not (arXiv 2402.01306, equation 8).

    Answers in the language of their prompt are desirable, answers in the other language undesirable. The
    loss is the mean over the four responses of an example: 1/2 before the first step, with weights 1.

    The reference point z_0 is ``max(0, mean(log pi - log ref))`` over mismatched pairs, a prompt with the answer
    to the next one: of the whole batch, without gradient. It stands for the divergence of the policy's own
    answers from the reference. Those are in the language of their prompt, so ``kl_views`` are SS+1 and TT+1 by
    default; the other two hold what training makes unlikely, and would drag the estimate below 0.
    """

    needs_reference: ClassVar[bool] = True
    directions_separate: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS

    name: Literal["kto"] = "kto"
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference.")
    desirable_weight: float = Field(1.0, gt=0, description="Weight of answers in the language of their prompt.")
    undesirable_weight: float = Field(1.0, gt=0, description="Weight of answers in the other language.")
    kl_views: tuple[Pairing, ...] = Field(
        ("SS+1", "TT+1"),
        min_length=1,
        description="Mismatched views that estimate the KL term: prompt, and response of the next example.",
    )

    _ordered = field_validator("kl_views")(in_order)

    @property
    def statistic_views(self) -> frozenset[MismatchedView]:
        return frozenset(MismatchedView(view) for view in self.kl_views)

    def statistics(self, policy: LogProbs, reference: LogProbs | None) -> Mapping[str, Ratio]:
        """``kl``: the mean of policy minus reference over mismatched responses, in nats; not clamped yet."""
        import torch

        from langxfer.losses import log_ratio

        assert reference is not None
        views = sorted(self.statistic_views)
        numerator = torch.stack([log_ratio(policy.total[view], reference.total[view]) for view in views]).sum(0)
        return {"kl": Ratio(numerator, numerator.new_full(numerator.shape, float(len(views))))}

    def loss(
        self, policy: LogProbs, reference: LogProbs | None, statistics: Mapping[str, float] | None = None
    ) -> Terms:
        """Terms ``desirable`` and ``undesirable``, each a mean between 0 and 1, and metrics ``[B]``.

        ``reward_<view>`` is beta times (policy - reference). ``statistics`` holds ``kl``, in nats.
        """
        from langxfer.losses import kto, log_ratio

        assert reference is not None and statistics is not None
        kl = max(0.0, statistics["kl"])
        ratios = {view: log_ratio(policy.total[view], reference.total[view].detach()) for view in View}

        def term(views: tuple[View, View], weight: float, desirable: bool) -> Term:
            first, second = (kto(ratios[view], kl, self.beta, desirable=desirable) for view in views)
            return Term(weight / 2, first + second, first.new_full(first.shape, 2.0))  # half of the responses each

        parts = {
            "desirable": term(DESIRABLE, self.desirable_weight, True),
            "undesirable": term(UNDESIRABLE, self.undesirable_weight, False),
        }
        metrics: dict[str, Tensor] = {f"reward_{view}": self.beta * ratio.detach() for view, ratio in ratios.items()}
        return Terms(parts, metrics)
