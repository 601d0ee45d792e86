"""The LM head on response positions: hidden states in, log-probabilities out, never a full logits tensor.

A frozen head walks over the vocabulary in tiles that fit into a cache, keeping the running log-sum-exp and the
running mean of the head's rows, as flash attention does with keys and values. So d(logp)/d(hidden), which is
``w[target] - sum_v p(v) w[v]``, is ready when the log-probability is, and the backward pass computes no logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from langxfer.engine.products import times

TILE_TOKENS, TILE_WORDS = 512, 4096  # 8 MiB of logits in float32
CHUNK_ELEMENTS = 1 << 23  # logits that exist at a time with a trained head: 32 MiB in float32
ON_GPU = 4  # times as many tokens, and words: there starting a kernel takes longer than a small one


class Unsupported(Exception):
    """This model's log-probabilities cannot be computed by this engine; the text says why."""


class Head:
    """Hidden states ``[N, H]`` and targets ``[N]`` -> log-probabilities ``[N]`` float32 (float64 for float64).

    Raises:
        Unsupported: the model has no output embedding, or does something to its logits that is not done here.
    """

    def __init__(self, model: nn.Module):
        head = model.get_output_embeddings()
        if head is None or not hasattr(head, "weight"):
            raise Unsupported(f"{type(model).__name__} has no output embedding")
        self.weight, self.bias = head.weight, getattr(head, "bias", None)
        config = model.config.get_text_config()
        self.cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self.scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
        self.scale /= getattr(config, "logits_scaling", None) or 1.0  # Granite

    @torch.no_grad()
    def continuations(self, hidden: Tensor, owners: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities ``[M]`` of ``targets`` after the hidden states ``[N, H]`` with the numbers ``owners``.

        A state meets the vocabulary once, however many targets it has.
        """
        exact = precise(hidden.dtype)
        own, total = hidden.new_zeros(len(targets), dtype=exact), hidden.new_full((len(hidden),), -torch.inf).to(exact)
        tokens, words = tiles(hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), tokens):
                part = slice(start, start + tokens)
                mine = (owners >= start) & (owners < start + tokens)
                for first in range(0, self.weight.shape[0], words):
                    logits = self.tile(hidden[part], slice(first, first + words))
                    total[part] = torch.logaddexp(total[part], logits.logsumexp(-1))
                    here = mine & (targets >= first) & (targets < first + words)
                    own[here] = logits[owners[here] - start, targets[here] - first]
        return own - total[owners]

    @property
    def trained(self) -> bool:
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)

    def __call__(self, hidden: Tensor, targets: Tensor) -> Tensor:
        if not self.trained:
            return _FrozenHead.apply(hidden, targets, self)
        most = CHUNK_ELEMENTS * (ON_GPU**2 if hidden.device.type == "cuda" else 1)
        chunk = max(1, most // self.weight.shape[0])
        pieces = [
            checkpoint(self._score, hidden[i : i + chunk], targets[i : i + chunk], use_reentrant=False)
            for i in range(0, len(targets), chunk)
        ]
        return torch.cat(pieces) if pieces else hidden.sum().float() * 0 + hidden.new_zeros(0, dtype=torch.float32)

    def finished(self, logits: Tensor) -> Tensor:
        """What this model does to its logits: scale and soft cap."""
        logits = logits * self.scale if self.scale != 1.0 else logits
        return self.cap * torch.tanh(logits / self.cap) if self.cap else logits

    def tile(self, hidden: Tensor, words: slice) -> Tensor:
        """Logits ``[n, words]`` of part of the vocabulary, in float32 (float64), without gradient."""
        logits = product(hidden.to(self.weight.dtype), self.weight[words].T)
        return self.finished(logits if self.bias is None else logits + self.bias[words])

    def _score(self, hidden: Tensor, targets: Tensor) -> Tensor:
        kind = hidden.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.weight.dtype
        with torch.autocast(kind, enabled=False):
            logits = _Product.apply(hidden, self.weight, low)
            logits = self.finished(logits if self.bias is None else logits + self.bias)
        return torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0]


def tiles(device: torch.device) -> tuple[int, int]:
    """Tokens and words of a tile of logits."""
    times_more = ON_GPU if device.type == "cuda" else 1
    return TILE_TOKENS * times_more, TILE_WORDS * times_more


def precise(dtype: torch.dtype) -> torch.dtype:
    """float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right``, added up and kept in float32 also for bfloat16: sums of rounded tiles would drift."""
    if precise(left.dtype) is left.dtype:
        return times(left, right)
    if left.device.type == "cuda":
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()


class _Product(torch.autograd.Function):
    """``hidden @ weight.T`` of a trained head: factors in ``low``, sums in float32 as those of the frozen head.

    Autocast would round the logits too, and policy and reference would differ before the first step.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, low: torch.dtype) -> Tensor:
        own, words = hidden.to(low), weight.to(low)
        ctx.save_for_backward(own, words)
        ctx.kinds = hidden.dtype, weight.dtype
        return product(own, words.T)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        own, words = ctx.saved_tensors
        slope = gradient.to(own.dtype)
        to_weight = torch.mm(slope.T, own).to(ctx.kinds[1]) if ctx.needs_input_grad[1] else None
        return product(slope, words).to(ctx.kinds[0]), to_weight, None


class _FrozenHead(torch.autograd.Function):
    """Scores tokens and makes d(logp)/d(hidden) ``[N, H]`` in the same pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
        scores = hidden.new_empty(len(targets), dtype=precise(hidden.dtype))
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        with torch.autocast(hidden.device.type, enabled=False):
            step, _ = tiles(hidden.device)
            for i in range(0, len(targets), step):
                part = slice(i, i + step)
                scores[part], slope = _score_tiles(hidden[part], targets[part], head, slopes is not None)
                if slopes is not None:
                    slopes[part] = slope
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradient[:, None].to(slopes.dtype), None, None


def _score_tiles(hidden: Tensor, targets: Tensor, head: Head, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities ``[n]`` and, if ``wanted``, their slopes ``[n, H]``, over tiles of the vocabulary."""
    exact = precise(hidden.dtype)
    rows = torch.arange(len(targets), device=targets.device)
    highest = hidden.new_full((len(targets),), -torch.inf, dtype=exact)
    total, own = torch.zeros_like(highest), torch.zeros_like(highest)
    mean = torch.zeros_like(hidden, dtype=exact) if wanted else None
    own_squash = torch.ones_like(highest)
    _, step = tiles(hidden.device)
    for first in range(0, head.weight.shape[0], step):
        words = slice(first, first + step)
        logits = head.tile(hidden, words)
        inside = (targets >= first) & (targets < first + logits.shape[1])
        place = (targets - first).clamp(0, logits.shape[1] - 1)
        found = logits[rows, place]
        own = torch.where(inside, found, own)
        squash = 1 - (logits / head.cap).square() if head.cap and wanted else None
        if squash is not None:
            own_squash = torch.where(inside, squash[rows, place], own_squash)
        raised = torch.maximum(highest, logits.amax(-1))
        shrunk = (highest - raised).exp()
        shares = logits.sub_(raised[:, None]).exp_()
        total = total * shrunk + shares.sum(-1)
        if mean is not None:
            shares = shares * squash if squash is not None else shares
            mean.mul_(shrunk[:, None]).add_(product(shares.to(head.weight.dtype), head.weight[words]))
        highest = raised
    scores = own - highest - total.log()
    if mean is None:
        return scores, None
    target_rows = head.weight[targets].to(exact) * own_squash[:, None]
    slope = torch.sub(target_rows, mean.div_(total[:, None])).mul_(head.scale)
    return scores, slope.to(hidden.dtype)
