"""Matrix products in float32 on a CPU, by the library that is fastest there.

``torch.mm`` calls MKL, whose products lose up to a third on two threads at the sizes of a micro-batch; oneDNN's, which
compiled models use, do not (docs/results.md). ``times`` is for the two passes of autograd functions, and ``quicken`` is
for linear layers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 256  # of a product: oneDNN keeps code and memory for every shape that it has seen, so it sees few


def times(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right``: ``[n, k]`` and ``[k, m]`` -> ``[n, m]``, without derivative."""
    on_cpu = left.device.type == "cpu" and left.dtype == right.dtype == torch.float32
    if not on_cpu or len(left) < ROWS or not has_onednn():
        return torch.mm(left, right)
    if len(left) == ROWS:
        return _product(left, right)
    whole = len(left) - len(left) % ROWS
    out = left.new_empty(len(left), right.shape[1])
    for start in range(0, whole, ROWS):
        out[start : start + ROWS] = _product(left[start : start + ROWS], right)
    if whole < len(left):
        torch.mm(left[whole:], right, out=out[whole:])
    return out


def _product(left: Tensor, right: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")


@cache
def has_onednn() -> bool:
    """Whether oneDNN's product is there and right: it has no name that PyTorch promises to keep."""
    try:
        left, right = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)
        return torch.backends.mkldnn.is_available() and torch.equal(_product(left, right), left @ right)
    except (AttributeError, RuntimeError, TypeError):
        return False


class _Linear(torch.autograd.Function):
    """``hidden @ weight.T``: ``[..., a]`` and ``[b, a]`` -> ``[..., b]``."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
        learn = ctx.needs_input_grad[1]
        ctx.save_for_backward(hidden if learn else None, weight)
        return times(hidden.flatten(0, -2), weight.T).view(*hidden.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        hidden, weight = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        to_hidden = times(flat, weight).view(*gradient.shape[:-1], weight.shape[1]) if ctx.needs_input_grad[0] else None
        # A product of two tall matrices reads both across: there MKL is no slower.
        to_weight = torch.mm(flat.T, hidden.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return to_hidden, to_weight


class _Quick:
    """A linear layer's ``forward``: the products above where they are for it, else its own."""

    def __init__(self, module: nn.Linear):
        self._module = module

    def __call__(self, hidden: Tensor) -> Tensor:
        module = self._module
        if hidden.dtype != module.weight.dtype or torch.is_autocast_enabled(hidden.device.type):
            return nn.Linear.forward(module, hidden)
        found = _Linear.apply(hidden, module.weight)
        return found if module.bias is None else found + module.bias


def quicken(network: nn.Module) -> int:
    """Let the linear layers of a network in float32 on a CPU use these products; returns how many now do."""
    found = 0
    for module in network.modules():
        plain = type(module) is nn.Linear and "forward" not in vars(module)
        if plain and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu" and has_onednn():
            module.forward = _Quick(module)  # type: ignore[method-assign]
            found += 1
    return found
