"""Pairs of answers to one prompt: which is chosen, the log-ratio between them, and the losses of that margin.

An example gives two pairs, one for each language of the prompt. The answer in the language of the prompt is
chosen, the same answer in the other language rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from langxfer.components import Objective, Term
from langxfer.data import View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs

ALL_VIEWS = frozenset(View)
PAIRS = {"source": (View.SS, View.ST), "target": (View.TT, View.TS)}  # side of the prompt -> chosen, rejected

Preference = Literal["sigmoid", "ipo", "hinge"]


class ReferencedPairs(Objective):
    """What DPO and CLO share: the margin of a pair over the reference, and a choice of losses for it."""

    needs_reference: ClassVar[bool] = True
    directions_separate: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS

    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference (tau of IPO).")
    preference: Preference = Field(
        "sigmoid",
        description="Loss of a margin. sigmoid: DPO; ipo: distance from 1 / (2 beta); hinge: max(0, 1 - beta margin).",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Assumed share of pairs that are the wrong way round (sigmoid only)."
    )
    ratio_reduction: Literal["sequence_sum", "token_mean"] = Field(
        "sequence_sum",
        description="Log-ratios as sums over a response, as in the papers' equations, or as means over its tokens.",
    )

    @model_validator(mode="after")
    def _label_smoothing_has_an_effect(self) -> Self:
        if self.label_smoothing and self.preference != "sigmoid":
            raise ValueError(
                f"label_smoothing is {self.label_smoothing}, but preference is {self.preference}: "
                "only sigmoid has label smoothing. Leave it out, or set preference: sigmoid."
            )
        return self

    def pair_loss(self) -> Callable[[Tensor], Tensor]:
        """The loss of a margin in nats, ``[B] -> [B]``."""
        from langxfer import losses

        forms: Mapping[Preference, Callable[[Tensor], Tensor]] = {
            "sigmoid": lambda margin: losses.dpo(margin, self.beta, self.label_smoothing),
            "ipo": lambda margin: losses.ipo(margin, self.beta),
            "hinge": lambda margin: losses.hinge(margin, self.beta),
        }
        return forms[self.preference]

    def log_ratios(self, policy: LogProbs, reference: LogProbs) -> dict[View, Tensor]:
        """``log pi - log ref`` of every view, ``[B]``, in nats per response or per token; reference detached."""
        from langxfer.losses import log_ratio

        ratios = {view: log_ratio(policy.total[view], reference.total[view].detach()) for view in View}
        if self.ratio_reduction == "sequence_sum":
            return ratios
        return {view: ratio / policy.tokens[view].clamp(min=1) for view, ratio in ratios.items()}


def margins(scores: Mapping[View, Tensor]) -> tuple[Tensor, Tensor]:
    """Chosen minus rejected, ``[B]``, for source and for target prompts (equations 6 and 7 of CLO for log-ratios)."""
    source, target = (scores[chosen] - scores[rejected] for chosen, rejected in PAIRS.values())
    return source, target


def mean_over_pairs(coefficient: float, source: Tensor, target: Tensor) -> Term:
    """A term that is the mean over the two pairs of every example."""
    numerator = source + target
    return Term(coefficient, numerator, numerator.new_full(numerator.shape, float(len(PAIRS))))


def reward_metrics(scores: Mapping[View, Tensor], beta: float) -> dict[str, Tensor]:
    """``chosen_<side>``, ``rejected_<side>``: beta times the scores; their margin; accuracy 1 where it is above 0."""
    metrics: dict[str, Tensor] = {}
    for side, views in PAIRS.items():
        chosen, rejected = (beta * scores[view].detach() for view in views)
        metrics[f"chosen_{side}"], metrics[f"rejected_{side}"] = chosen, rejected
        metrics[f"margin_{side}"] = chosen - rejected
        metrics[f"accuracy_{side}"] = (chosen > rejected).to(chosen.dtype)
    return metrics
