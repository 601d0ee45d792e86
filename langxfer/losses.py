"""The losses: plain functions from tensors to tensors of shape ``[B]``, one value per example.

Nothing here knows a model, a tokenizer, a batch, a device or a rank. All log-probabilities are
sums over the tokens of a response, in nats, float32.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def nll(policy: Tensor) -> Tensor:
    """Negative log-likelihood in nats, ``[B] -> [B]`` (CLO, equation 4, before the expectation)."""
    return -policy


def log_ratio_margin(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor
) -> Tensor:
    """How much more than the reference the policy prefers ``chosen``: ``[B] -> [B]``, in nats.

    ``(log pi(y_w|x) - log ref(y_w|x)) - (log pi(y_l|x) - log ref(y_l|x))``: equation 2 of DPO
    (Rafailov et al. 2024, arXiv 2305.18290) and equations 6 and 7 of CLO, without beta.
    """
    return (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)


def dpo(margin: Tensor, beta: float) -> Tensor:
    """Sigmoid DPO loss ``-log sigmoid(beta * margin)``, ``[B] -> [B]`` (DPO, equation 7).

    ``margin`` comes from ``log_ratio_margin``. At margin 0 (policy = reference) it is ln 2.
    """
    return -F.logsigmoid(beta * margin)


def clo(margin_source: Tensor, margin_target: Tensor, beta: float) -> Tensor:
    """Cross-lingual preference loss, the sum over both prompt languages, ``[B] -> [B]``.

    ``-log sigmoid(z_en) - log sigmoid(z_l)`` (CLO, arXiv 2505.14297, equation 5).
    ``margin_source`` prefers the source answer to a source prompt (SS over ST, equation 6),
    ``margin_target`` the target answer to a target prompt (TT over TS, equation 7).
    At margins 0 it is 2 ln 2.
    """
    return dpo(margin_source, beta) + dpo(margin_target, beta)
