"""Attention over rows that are packed on one axis: no padding, and no row or branch sees another.

transformers lets an attention function be chosen by name. Ours are ``langxfer_rows`` (exact, by segments, on
the CPU), ``langxfer_dense`` (scaled dot product with a mask over the whole axis, on any device) and
``langxfer_flex`` (FlexAttention, which skips blocks that nobody may see). All take the rows as keyword argument
``rows`` of the forward pass; without it they do what ``sdpa`` does, so that the same model generates answers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.hub import first_line

ROWS, DENSE, FLEX = "langxfer_rows", "langxfer_dense", "langxfer_flex"
FLEX_BLOCK = 128
VARIANTS = 64  # compiled kernels of one process
CHUNK = 128  # tokens; the kernel works on causal pairs and on their mirror images alike

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class CannotPack(Exception):
    """A model's attention cannot work on packed rows; the text says why and what to do."""


Sequenced = tuple[int, int, tuple[slice, ...]]  # begin and end of a causal sequence, and what it sees before it
UNTOLD = "it does not hand its attention what it is given. Set compute.layout: padded"


@dataclass(frozen=True)
class Rows:
    """Where rows lie on a packed axis of ``length`` tokens (the last ones may belong to no row).

    ``bounds`` has a tuple for each row: its start, the end of its prompt, and the end of each of its branches.
    """

    bounds: tuple[tuple[int, ...], ...]
    length: int
    device: torch.device

    @cached_property
    def owners(self) -> tuple[Tensor, Tensor]:
        """``[length]`` numbers of the row (-1: none) and of the branch (0: prompt) that a token belongs to."""
        row, branch = torch.full((2, self.length), -1, dtype=torch.long)
        for number, (start, *ends) in enumerate(self.bounds):
            for part, end in enumerate(ends):
                row[start:end], branch[start:end] = number, part
                start = end
        return row.to(self.device), branch.to(self.device)

    def may_look(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether a token looks at another: at itself, or at an earlier one of its prompt or of its own branch."""
        row, branch = self.owners
        same = (row[query] == row[key]) & ((branch[key] == 0) | (branch[key] == branch[query]))
        return (same & (key <= query)) | (key == query)

    @cached_property
    def pieces(self) -> list[tuple[slice, list[slice]]]:
        """Pieces of queries, each with the pieces of keys that it sees."""
        return [piece for row in self.bounds for piece in pieces_of(row, CHUNK)]

    @cached_property
    def mask(self) -> Tensor:
        """``[1, 1, length, length]`` bool."""
        places = torch.arange(self.length, device=self.device)
        return self.may_look(places[:, None], places[None, :])[None, None]

    @cached_property
    def blocks(self) -> Any:
        """The same as a BlockMask of FlexAttention."""
        from torch.nn.attention.flex_attention import create_block_mask

        def may_look(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return self.may_look(query, key)

        return create_block_mask(may_look, None, None, self.length, self.length, device=str(self.device))


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask as numbers that are added to scores."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)


def register() -> None:
    """Make the attention functions known to transformers; calling it again changes nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    for name, function in ((ROWS, _by_segments), (DENSE, _by_mask), (FLEX, _by_blocks)):
        AttentionInterface.register(name, function)
        ALL_MASK_ATTENTION_FUNCTIONS.register(name, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def _refuse(options: dict[str, Any]) -> None:
    """Attention of its own kind, which the functions below would silently leave out."""
    extra = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if extra:
        raise CannotPack(f"its attention has {extra[0]}. Set compute.attention: eager")


def told(rows: Rows) -> dict[str, Any]:
    """Keyword arguments of a forward pass. The mask is a mark: no token sees another, unless ``rows`` arrive."""
    return {"rows": rows, "attention_mask": torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=rows.device)}


def _plain(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any) -> Any:
    """What ``sdpa`` does: for generation, and for a model's own logits."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if mask is not None and mask.shape == (1, 1, 1, 1) and query.shape[2] > 1:
        raise CannotPack(UNTOLD)
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def _packed(attend: Callable[[Tensor, Tensor, Tensor, Rows, float, float | None], Tensor]) -> Callable[..., Any]:
    """An attention function as transformers calls it; ``attend`` gives ``[1, heads, T, D]`` from rows."""

    @wraps(attend)
    def function(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        rows: Rows | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        if rows is None:
            return _plain(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options)
        _refuse(options)
        usable = attend if not dropout else _masked  # the others have no dropout
        return usable(query, key, value, rows, dropout, scaling).transpose(1, 2).contiguous(), None

    return function


def _masked(query: Tensor, key: Tensor, value: Tensor, rows: Rows, dropout: float, scale: float | None) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and query.device.type == "cuda":
        # Groups with a mask would be left to the kernel that keeps all scores.
        key, value = (part.repeat_interleave(groups, 1) for part in (key, value))
    grouped = key.shape[1] != query.shape[1]
    return nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=rows.mask, dropout_p=dropout, scale=scale, enable_gqa=grouped
    )


_by_mask = _packed(_masked)


@_packed
def _by_segments(query: Tensor, key: Tensor, value: Tensor, rows: Rows, dropout: float, scale: float | None) -> Tensor:
    if query.device.type != "cpu" or query.shape[-1] != value.shape[-1]:
        return _masked(query, key, value, rows, dropout, scale)
    # Positions may have been added in float32, and autocast does not know this kernel.
    query, key = query.to(value.dtype), key.to(value.dtype)
    return _RowAttention.apply(query, key, value, rows, query.shape[-1] ** -0.5 if scale is None else scale)


@cache
def _compiled_flex() -> Any:
    from torch import _dynamo
    from torch.nn.attention.flex_attention import flex_attention

    # Heads, widths, lengths, and what is trained: beyond this many kinds torch would go on without a compiled kernel.
    _dynamo.config.recompile_limit = max(VARIANTS, _dynamo.config.recompile_limit)
    return torch.compile(flex_attention)


@cache
def flex_problem(device: torch.device, width: int, dtype: torch.dtype) -> str | None:
    """Why FlexAttention cannot be trained through on a device with heads of this width, or None; tried out, once."""
    rows = Rows(((0, 40, 70, 100),), FLEX_BLOCK, device)
    try:
        parts = [torch.ones(1, 1, FLEX_BLOCK, width, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
        _compiled_flex()(*parts, block_mask=rows.blocks).sum().backward()
    except Exception as error:  # of Triton, of a compiler, of the driver
        return first_line(error)
    return None


@_packed
def _by_blocks(query: Tensor, key: Tensor, value: Tensor, rows: Rows, dropout: float, scale: float | None) -> Tensor:
    grouped = key.shape[1] != query.shape[1]
    return _compiled_flex()(query, key, value, block_mask=rows.blocks, scale=scale, enable_gqa=grouped)


class _RowAttention(torch.autograd.Function):
    """Softmax attention, piece by piece, with little more products than there are pairs that see each other.

    Pieces are put together by their log-sum-exp. The backward pass of the flash algorithm takes the probabilities
    from the whole log-sum-exp, so it is right for each piece alone, and the pieces add up.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: Rows, scale: float) -> Tensor:
        batch, heads, length, width = query.shape
        out = query.new_zeros(batch, length, heads, width).transpose(1, 2)  # as the output projection reads it
        exact = torch.promote_types(query.dtype, torch.float32)
        whole = query.new_zeros(batch, length, heads, dtype=exact).transpose(1, 2)
        for own, others in rows.pieces:
            mine = query[:, :, own]
            found = [
                _flash(mine, key[:, :, other], value[:, :, other], 0.0, other == own, attn_mask=None, scale=scale)
                for other in others
            ]
            out[:, :, own], whole[:, :, own] = found[0] if len(found) == 1 else _together(found)
        ctx.save_for_backward(query, key, value, out, whole)
        ctx.rows, ctx.scale = rows, scale
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, out, whole = ctx.saved_tensors
        to_query, to_key, to_value = (torch.zeros_like(part) for part in (query, key, value))
        for own, others in ctx.rows.pieces:
            for other in others:
                seen = gradient[:, :, own], query[:, :, own], key[:, :, other], value[:, :, other]
                past = out[:, :, own], whole[:, :, own]
                parts = _flash_backward(*seen, *past, 0.0, other == own, attn_mask=None, scale=ctx.scale)
                for target, place, part in zip((to_query, to_key, to_value), (own, other, other), parts, strict=True):
                    target[:, :, place] += part
        return to_query, to_key, to_value, None, None


def _together(found: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Attention over all keys, from attention over parts of them: outputs and log-sum-exps."""
    whole = torch.stack([total for _, total in found]).logsumexp(0)
    shares = [(total - whole).exp()[..., None].to(part.dtype) for part, total in found]
    return torch.stack([part * share for (part, _), share in zip(found, shares, strict=True)]).sum(0), whole


def pieces_of(bounds: Sequence[int], chunk: int) -> list[tuple[slice, list[slice]]]:
    """Queries of one row in pieces, each with the pieces of keys that it sees: those equal to it causally.

    A prompt and its first branch are one causal sequence; a later branch sees the prompt and, causally, itself.
    Sequences are cut into chunks, since a causal product costs as much as a full one.
    """
    start, prompt, *ends = bounds
    first = ends[0] if ends else prompt
    sequences: list[Sequenced] = [(start, first, ())]
    sequences += [(begin, end, (slice(start, prompt),)) for begin, end in pairwise(ends)]
    return chunked(sequences, chunk)


def chunked(sequences: Iterable[Sequenced], chunk: int) -> list[tuple[slice, list[slice]]]:
    """Queries of causal sequences in chunks, each with the pieces of keys that it sees."""
    found: list[tuple[slice, list[slice]]] = []
    for begin, end, before in sequences:
        for at in range(begin, end, chunk):
            own = slice(at, min(at + chunk, end))
            found.append((own, [*before, *([slice(begin, at)] if at > begin else []), own]))
    return found
