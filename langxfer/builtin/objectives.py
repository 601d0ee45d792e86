"""The built-in objectives: CLO, and the two baselines that it is compared with.

Each is a few lines over ``langxfer.losses``. CLO is arXiv 2505.14297; DPO is arXiv 2305.18290.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from langxfer.components import Objective, Term, Terms
from langxfer.data import View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs

ALL_VIEWS = frozenset(View)
Answered = Literal["SS", "TT"]  # the views whose answer is in the language of its prompt
Reduction = Literal["token_mean", "sequence_sum"]
REDUCTION_HELP = (
    "token_mean: nats per token over the whole batch; sequence_sum: nats per response (equation 4 of arXiv 2505.14297)."
)


def _in_order(views: tuple[Answered, ...]) -> tuple[Answered, ...]:
    """Equal sets of views give equal cache keys, so they are kept in one order."""
    if len(set(views)) < len(views):
        raise ValueError(f"a view is listed twice: {', '.join(views)}")
    return tuple(sorted(views))


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

    _ordered = field_validator("views_")(_in_order)

    @property
    def views(self) -> frozenset[View]:
        return frozenset(View(view) for view in self.views_)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """One term, ``nll``, in nats per token or per response; metrics ``nll_<view>`` in nats per token, ``[B]``."""
        return Terms(
            {"nll": _nll_term(policy, self.views_, self.nll_reduction, 1.0)}, _nll_metrics(policy, self.views_)
        )


class Dpo(Objective):
    """Direct preference optimisation on independent pairs (arXiv 2305.18290, equation 7).

    An example gives two pairs, one for each language of the prompt; the answer in the language of
    the prompt is chosen. The loss is the mean over pairs: ln 2 before the first step.
    """

    needs_reference: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS
    directions_separate: ClassVar[bool] = True

    name: Literal["dpo"] = "dpo"
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference.")

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """One term, ``preference``, in nats per pair; metrics as in ``Clo.loss``, ``[B]``."""
        from langxfer.losses import dpo

        assert reference is not None
        source, target = _margins(policy, reference)
        numerator = dpo(source, self.beta) + dpo(target, self.beta)
        term = Term(1.0, numerator, numerator.new_full(numerator.shape, 2.0))
        return Terms({"preference": term}, _preference_metrics(policy, reference, self.beta))


class Clo(Objective):
    """Cross-lingual optimisation: ``lambda * NLL + (1 - lambda) * preference`` (arXiv 2505.14297, equation 3).

    The preference (equations 5 to 7) is the sum over both languages of the prompt: 2 ln 2 before
    the first step. NLL (equation 4) covers target answers; ``nll_views`` opens the ablation of table 5.
    """

    needs_reference: ClassVar[bool] = True
    views: ClassVar[frozenset[View]] = ALL_VIEWS
    directions_separate: ClassVar[bool] = True

    name: Literal["clo"] = "clo"
    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to the reference (equations 6 and 7).")
    lambda_: float = Field(
        0.5, alias="lambda", ge=0, le=1, description="Weight of NLL; the preference gets 1 - lambda (equation 3)."
    )
    nll_views: tuple[Answered, ...] = Field(
        ("TT",), min_length=1, description="Answers that NLL covers. TT: target; SS: source."
    )
    nll_reduction: Reduction = Field("token_mean", description=REDUCTION_HELP)

    _ordered = field_validator("nll_views")(_in_order)

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """Terms ``nll`` and ``preference``, and metrics ``[B]``.

        ``margin_source`` and ``margin_target`` are z of equations 6 and 7: beta times nats.
        ``accuracy_*`` is 1 where the margin is above 0. ``chosen_*`` and ``rejected_*`` are the implicit
        rewards, beta times (policy - reference). ``nll_<view>`` is in nats per token.
        """
        from langxfer.losses import clo

        assert reference is not None
        preference = clo(*_margins(policy, reference), self.beta)
        parts = {
            "nll": _nll_term(policy, self.nll_views, self.nll_reduction, self.lambda_),
            "preference": Term(1 - self.lambda_, preference, preference.new_ones(preference.shape)),
        }
        metrics = {**_preference_metrics(policy, reference, self.beta), **_nll_metrics(policy, self.nll_views)}
        return Terms(parts, metrics)


def _nll_term(policy: LogProbs, views: Sequence[Answered], reduction: Reduction, coefficient: float) -> Term:
    """NLL of the responses of ``views``: their mean over tokens, or their mean over responses."""
    import torch

    from langxfer.losses import nll

    numerator = torch.stack([nll(policy.total[View(view)]) for view in views]).sum(0)
    if reduction == "token_mean":
        denominator = torch.stack([policy.tokens[View(view)] for view in views]).sum(0)
    else:
        denominator = numerator.new_full(numerator.shape, float(len(views)))
    return Term(coefficient, numerator, denominator)


def _nll_metrics(policy: LogProbs, views: Sequence[Answered]) -> dict[str, Tensor]:
    return {f"nll_{view}": -policy.mean(View(view)).detach() for view in views}


def _margins(policy: LogProbs, reference: LogProbs) -> tuple[Tensor, Tensor]:
    """Margins ``[B]`` in nats for source and for target prompts (equations 6 and 7, without beta)."""
    from langxfer.losses import log_ratio_margin

    def margin(chosen: View, rejected: View) -> Tensor:
        fixed = (reference.total[chosen].detach(), reference.total[rejected].detach())
        return log_ratio_margin(policy.total[chosen], policy.total[rejected], *fixed)

    return margin(View.SS, View.ST), margin(View.TT, View.TS)


def _preference_metrics(policy: LogProbs, reference: LogProbs, beta: float) -> Mapping[str, Tensor]:
    metrics: dict[str, Tensor] = {}
    for side, chosen, rejected in (("source", View.SS, View.ST), ("target", View.TT, View.TS)):
        rewards = [beta * (policy.total[view] - reference.total[view]).detach() for view in (chosen, rejected)]
        metrics[f"chosen_{side}"], metrics[f"rejected_{side}"] = rewards
        metrics[f"margin_{side}"] = rewards[0] - rewards[1]
        metrics[f"accuracy_{side}"] = (rewards[0] > rewards[1]).to(rewards[0].dtype)
    return metrics
