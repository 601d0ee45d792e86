"""The likelihood term: alone it is SFT, and CLO, ORPO and CPO add it to a preference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from langxfer.components import Term
from langxfer.data import View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs

ViewName = TypeVar("ViewName", bound=str)
Answered = Literal["SS", "TT"]  # the views whose answer is in the language of its prompt
Reduction = Literal["token_mean", "sequence_sum"]
REDUCTION_HELP = (
    "token_mean: nats per token over the whole batch; sequence_sum: nats per response (equation 4 of arXiv 2505.14297)."
)
VIEWS_HELP = "Answers that NLL covers. TT: target; SS: source."


def in_order(views: tuple[ViewName, ...]) -> tuple[ViewName, ...]:
    """Equal sets of views give equal cache keys, so they are kept in one order."""
    if len(set(views)) < len(views):
        raise ValueError(f"a view is listed twice: {', '.join(views)}")
    return tuple(sorted(views))


def nll_term(policy: LogProbs, views: Sequence[Answered], reduction: Reduction, coefficient: float) -> Term:
    """NLL of the responses of ``views`` in nats: their mean over tokens, or their mean over responses."""
    import torch

    from langxfer.losses import nll

    numerator = torch.stack([nll(policy.total[View(view)]) for view in views]).sum(0)
    if reduction == "token_mean":
        denominator = torch.stack([policy.tokens[View(view)] for view in views]).sum(0)
    else:
        denominator = numerator.new_full(numerator.shape, float(len(views)))
    return Term(coefficient, numerator, denominator)


def nll_metrics(policy: LogProbs, views: Sequence[Answered]) -> dict[str, Tensor]:
    """``nll_<view>`` in nats per token, ``[B]``."""
    return {f"nll_{view}": -policy.mean(View(view)).detach() for view in views}
