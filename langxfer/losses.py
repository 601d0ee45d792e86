"""The losses: plain functions from tensors to tensors of shape ``[B]``, one value per example.

Nothing here knows a model, a tokenizer, a batch, a device or a rank. Log-probabilities are in nats, and
sums over the tokens of a response unless a function says otherwise. What comes in half precision is
computed in float32: a sum of hundreds of nats has no place for a margin in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LN2 = 0.6931471805599453


def nll(policy: Tensor) -> Tensor:
    """Negative log-likelihood in nats, ``[B] -> [B]`` (CLO, equation 4, before the expectation)."""
    return -_precise(policy)


# ---------------------------------------------------------------- against a reference


def log_ratio(policy: Tensor, reference: Tensor) -> Tensor:
    """``log pi(y|x) - log ref(y|x)``, ``[B] -> [B]``: the implicit reward of DPO without beta, in nats."""
    return _precise(policy) - _precise(reference)


def dpo(margin: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Sigmoid loss of a margin in nats, ``[B] -> [B]`` (DPO, equation 7).

    ``-(1 - e) log sigmoid(beta * margin) - e log sigmoid(-beta * margin)``, where e, ``label_smoothing``,
    is the assumed share of pairs whose answers are the wrong way round (conservative DPO, Mitchell 2023). At
    margin 0 (policy = reference) it is ln 2. It is least at an infinite margin for e = 0, else
    where ``sigmoid(beta * margin) = 1 - e``.
    """
    scaled = beta * _precise(margin)
    straight = -F.logsigmoid(scaled)
    # -log sigmoid(-z) = z - log sigmoid(z)
    return straight + label_smoothing * scaled if label_smoothing else straight


def ipo(margin: Tensor, beta: float) -> Tensor:
    """Squared distance of a margin in nats from ``1 / (2 beta)``, ``[B] -> [B]`` (IPO, arXiv 2310.12036, equation 17).

    ``beta`` is the paper's tau. At margin 0 it is ``1 / (4 beta^2)``.
    """
    return (_precise(margin) - 1 / (2 * beta)).square()


def hinge(margin: Tensor, beta: float) -> Tensor:
    """``max(0, 1 - beta * margin)``, ``[B] -> [B]``: SLiC's rank calibration loss (arXiv 2305.10425), on
    log-ratios to a reference as in RSO (arXiv 2309.06657). At margin 0 it is 1.
    """
    return F.relu(1 - beta * _precise(margin))


def clo(margin_source: Tensor, margin_target: Tensor, preference: Callable[[Tensor], Tensor]) -> Tensor:
    """Cross-lingual preference loss, the sum over both prompt languages, ``[B] -> [B]``.

    ``-log sigmoid(z_en) - log sigmoid(z_l)`` (CLO, arXiv 2505.14297, equation 5), where ``preference`` is
    ``dpo``: the loss of one margin. ``margin_source`` prefers the source answer to a source prompt (SS over
    ST, equation 6), ``margin_target`` the target answer to a target prompt (TT over TS, equation 7).
    At margins 0 it is 2 ln 2.
    """
    return preference(margin_source) + preference(margin_target)


def kto(log_ratio: Tensor, kl: float, beta: float, *, desirable: bool) -> Tensor:
    """``1 - v(x, y) / lambda_y`` of KTO, between 0 and 1, ``[B] -> [B]`` (arXiv 2402.01306, equation 8).

    ``1 - sigmoid(beta * (log_ratio - kl))`` for a desirable response, ``1 - sigmoid(beta * (kl - log_ratio))``
    for an undesirable one. ``kl`` in nats is the paper's z_0, the same for all and at least 0. With both
    at 0 (policy = reference) it is 1/2.
    """
    above = beta * (_precise(log_ratio) - kl)
    return torch.sigmoid(-above if desirable else above)  # 1 - sigmoid(x) = sigmoid(-x), without cancellation


# ---------------------------------------------------------------- without a reference


def cpo(policy_chosen: Tensor, policy_rejected: Tensor, beta: float) -> Tensor:
    """``-log sigmoid(beta * (log pi(y_w|x) - log pi(y_l|x)))``, ``[B] -> [B]`` (CPO, arXiv 2401.08417, equation 3).

    DPO with a uniform reference. It says nothing about how likely ``y_w`` is, so CPO adds its NLL.
    """
    return dpo(_precise(policy_chosen) - _precise(policy_rejected), beta)


def log1mexp(log_probability: Tensor) -> Tensor:
    """``log(1 - exp(x))`` for x <= 0, ``[B] -> [B]``, to full precision and never infinite.

    Above -ln 2 by expm1, below it by log1p (Mächler 2012): each loses digits where the other
    does not. The probability 1 counts as ``1 - epsilon`` of the number format, where value and slope are finite.
    """
    x = _precise(log_probability)
    x = x.clamp(max=-torch.finfo(x.dtype).eps)
    return torch.where(x < -LN2, torch.log1p(-x.exp()), torch.log(-torch.expm1(x)))


def log_odds_ratio(mean_chosen: Tensor, mean_rejected: Tensor) -> Tensor:
    """Log of the odds ``p / (1 - p)`` of ``chosen`` over those of ``rejected``, ``[B] -> [B]``.

    p is the geometric mean of the tokens' probabilities, so arguments are in nats PER TOKEN (ORPO,
    arXiv 2403.07691, equations 2 to 4).
    """
    chosen, rejected = _precise(mean_chosen), _precise(mean_rejected)
    return (chosen - log1mexp(chosen)) - (rejected - log1mexp(rejected))


def odds_ratio(mean_chosen: Tensor, mean_rejected: Tensor) -> Tensor:
    """``-log sigmoid(log odds ratio)``, ``[B] -> [B]`` (ORPO, equation 7); arguments as in ``log_odds_ratio``."""
    return -F.logsigmoid(log_odds_ratio(mean_chosen, mean_rejected))


def _precise(values: Tensor) -> Tensor:
    """In float32 at the least."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
