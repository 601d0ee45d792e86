"""The one forward engine: rows in, per-token log-probabilities (float32, nats) out.

Policy, reference and evaluation all go through ``sequence_logprobs``, so that a policy equal to its
reference gives margins of zero. The LM head sees response positions only, in chunks, and no full
logits tensor ever exists. With a frozen head, d(logp)/d(hidden) is made in the forward pass, so the
backward pass computes no logits again and no weight gradient at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from langxfer.data import View
from langxfer.engine.encode import Encoded
from langxfer.engine.layout import Layout, Row, collate, padded_tokens, rows_of
from langxfer.logps import LogProbs

CHUNK_ELEMENTS = 1 << 24  # logits that exist at a time: 64 MiB in float32
SELF_CHECK_TOLERANCE = 2e-3  # nats; layouts and heads that are wrong are off by far more


class Unsupported(Exception):
    """This model's log-probabilities cannot be computed by this engine; the text says why."""


class Head:
    """Hidden states ``[N, H]`` and targets ``[N]`` -> log-probabilities ``[N]`` float32."""

    def __init__(self, model: nn.Module):
        head = model.get_output_embeddings()
        if head is None or not hasattr(head, "weight"):
            raise Unsupported(f"{type(model).__name__} has no output embedding")
        self.weight, self.bias = head.weight, getattr(head, "bias", None)
        config = model.config.get_text_config()
        self.cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self.scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
        self.scale /= getattr(config, "logits_scaling", None) or 1.0  # Granite

    def __call__(self, hidden: Tensor, targets: Tensor) -> Tensor:
        chunk = max(1, CHUNK_ELEMENTS // self.weight.shape[0])
        if self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad):
            pieces = [
                checkpoint(self._score, hidden[i : i + chunk], targets[i : i + chunk], use_reentrant=False)
                for i in range(0, len(targets), chunk)
            ]
            return torch.cat(pieces) if pieces else hidden.sum().float() * 0 + hidden.new_zeros(0, dtype=torch.float32)
        return _FrozenHead.apply(hidden, targets, self, chunk)

    def logits(self, hidden: Tensor) -> Tensor:
        """``[n, H] -> [n, V]`` float32."""
        logits = nn.functional.linear(hidden.to(self.weight.dtype), self.weight, self.bias).float()
        logits = logits * self.scale if self.scale != 1.0 else logits
        return self.cap * torch.tanh(logits / self.cap) if self.cap else logits

    def _score(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return torch.log_softmax(self.logits(hidden), -1).gather(-1, targets[:, None])[:, 0]


class _FrozenHead(torch.autograd.Function):
    """Scores tokens and makes d(logp)/d(hidden) ``[N, H]`` in the same pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, head: Head, chunk: int) -> Tensor:
        scores = hidden.new_empty(len(targets), dtype=torch.float32)
        wanted = ctx.needs_input_grad[0]
        slopes = torch.empty_like(hidden) if wanted else None
        with torch.autocast(hidden.device.type, enabled=False):
            for i in range(0, len(targets), chunk):
                part, own = hidden[i : i + chunk], targets[i : i + chunk, None]
                logits = head.logits(part)
                normaliser = logits.logsumexp(-1, keepdim=True)
                scores[i : i + chunk] = (logits.gather(-1, own) - normaliser)[:, 0]
                if slopes is not None:
                    squash = 1 - (logits / head.cap).square() if head.cap else None
                    slope = logits.sub_(normaliser).exp_().neg_()  # -softmax
                    slope.scatter_add_(-1, own, torch.ones_like(own, dtype=slope.dtype))
                    slope = slope * squash if squash is not None else slope
                    weighed = slope.to(head.weight.dtype) @ head.weight
                    slopes[i : i + chunk] = weighed * head.scale if head.scale != 1.0 else weighed
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradient[:, None].to(slopes.dtype), None, None, None


class Scorer:
    """A model, its head and its layout, ready to score rows.

    Args:
        model: a transformers causal language model.
        layout: ``tree`` or ``padded``; ``tree`` becomes ``padded`` for models whose attention cannot share prompts.
        autocast: context of the forward pass (bfloat16 or nothing).
        notify: told in a sentence when the layout had to change.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        notify: Callable[[str], None] = lambda message: None,
    ):
        self.model, self.layout, self.autocast = model, layout, autocast
        self.head = Head(model)
        self.device = next(model.parameters()).device
        reason = no_tree(model.config.get_text_config())
        if layout == "tree" and reason:
            self.layout = "padded"
            notify(f"compute.layout: {reason}, so prompts are not shared between responses (padded instead of tree)")

    def sequence_logprobs(self, rows: Sequence[Row]) -> list[Tensor]:
        """Per-token log-probabilities, one ``[tokens]`` float32 tensor per branch, in row order.

        A branch without tokens gives an empty tensor.
        """
        inputs = collate(rows, self.device)
        extras: dict[str, Tensor] = {}
        if inputs.mask is not None and inputs.positions is not None:
            extras = {"attention_mask": self._mask(inputs.mask), "position_ids": inputs.positions}
        with self.autocast():
            body = self.model.base_model(input_ids=inputs.ids, use_cache=False, **extras)
            scores = self.head(body.last_hidden_state.flatten(0, 1)[inputs.scored_from], inputs.targets)
        return list(scores.split([len(branch.ids) for row in rows for branch in row.branches]))

    def _mask(self, mask: Tensor) -> Tensor:
        if self.model.config._attn_implementation == "sdpa":
            return mask
        dtype = next(self.model.parameters()).dtype
        return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)

    def score(self, examples: Sequence[Encoded], views: Sequence[View]) -> list[tuple[int, View, Tensor]]:
        """``(example number, view, per-token log-probabilities)`` of all views of the examples."""
        rows = rows_of(examples, views, self.layout)
        branches = [branch for row in rows for branch in row.branches]
        return [(b.example, b.view, scores) for b, scores in zip(branches, self.sequence_logprobs(rows), strict=True)]

    def log_probs(self, examples: Sequence[Encoded], views: Sequence[View]) -> LogProbs:
        """Totals and token counts by view, ``[B]`` in the order of the examples."""
        totals: dict[View, dict[int, Tensor]] = {view: {} for view in views}
        for number, view, scores in self.score(examples, views):
            totals[view][number] = scores.sum()
        total = {view: torch.stack([own[i] for i in range(len(examples))]) for view, own in totals.items()}
        return LogProbs(total, token_counts(examples, views, self.device))

    def micro_batches(self, examples: Sequence[Encoded], views: Sequence[View], budget: int) -> Iterator[list[int]]:
        """Groups of example numbers, alike in length, each within ``budget`` padded tokens; one at the least."""
        costs = [max(map(len, rows_of([example], views, self.layout))) for example in examples]
        group: list[int] = []
        for number in sorted(range(len(examples)), key=lambda i: (-costs[i], i)):
            rows = rows_of([examples[i] for i in (*group, number)], views, self.layout)
            if group and padded_tokens(rows) > budget:
                yield group
                group = []
            group.append(number)
        if group:
            yield group

    @torch.no_grad()
    def self_check(self, example: Encoded) -> None:
        """Compare this engine with the model's own logits on one short example.

        Raises:
            Unsupported: they differ, so the model does something with its logits or masks that is not handled here.
        """
        short = Encoded(
            example.id,
            {side: ids[-48:] for side, ids in example.prompts.items()},
            {view: ids[:16] for view, ids in example.responses.items()},
            example.bytes,
        )
        views = [view for view in View if short.responses[view]]
        found = {view: scores for _, view, scores in self.score([short], views)}
        for view in views:
            ids = torch.tensor([short.prompts[view.prompt] + short.responses[view]], device=self.device)
            with self.autocast():
                logits = self.model(input_ids=ids, use_cache=False).logits.float()
            first = len(short.prompts[view.prompt])
            own = torch.log_softmax(logits[0, first - 1 : -1], -1).gather(-1, ids[0, first:, None])[:, 0]
            tolerance = SELF_CHECK_TOLERANCE if self.head.weight.dtype == torch.float32 else 0.25
            difference = (own - found[view]).abs().max().item()
            if not difference <= tolerance:
                raise Unsupported(
                    f"log-probabilities of {type(self.model).__name__} differ from its own logits by {difference:.3g} "
                    f"nats (layout {self.layout}); this architecture is not supported"
                )


def token_counts(examples: Sequence[Encoded], views: Sequence[View], device: Any = "cpu") -> Mapping[View, Tensor]:
    """Response tokens by view, ``[B]`` float32."""
    return {
        view: torch.tensor([len(e.responses[view]) for e in examples], dtype=torch.float32, device=device)
        for view in views
    }


def no_tree(config: Any) -> str | None:
    """Why a model of this configuration cannot share prompts, or None when it can."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if kinds - {"full_attention"} or (windowed and not getattr(config, "layer_types", None)):
        return f"{config.model_type} has attention layers that are not plain full attention"
    if getattr(config, "alibi", False) or config.model_type in ("bloom", "mpt"):
        return f"{config.model_type} has position biases (ALiBi) that ignore position ids"
    return None
