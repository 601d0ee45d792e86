"""Gated MLPs whose weights are frozen: the same numbers with less memory kept for the backward pass.

Plain autograd keeps the gate, its activation and the other half: three tensors as wide as the MLP, most of what a
layer keeps. With frozen weights two suffice. A module takes this path only if it gives the same numbers as its own
``forward`` when it is tried, and only while nothing in it is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.engine.products import ROWS, times

Activation = Callable[[Tensor], Tensor]
Slope = Callable[[Tensor, Tensor], Tensor]
ACTIVATIONS: dict[str, tuple[Activation, Slope]] = {
    "silu": (nn.functional.silu, torch.ops.aten.silu_backward),
    "gelu": (nn.functional.gelu, torch.ops.aten.gelu_backward),
    "gelu_pytorch_tanh": (
        lambda gate: nn.functional.gelu(gate, approximate="tanh"),
        lambda gradient, gate: torch.ops.aten.gelu_backward(gradient, gate, approximate="tanh"),
    ),
}
BLOCK = ROWS  # tokens
ON_GPU = 16  # times as many: there is no cache to stay in, and starting a kernel takes longer than a small one
PARTS = ("gate_proj", "up_proj", "down_proj")


class Shelf:
    """Buffers for what layers keep, used again by the next micro-batch.

    Tensors of many sizes that come and go leave holes in the heap, a third of its size in the end; these do not.
    What is taken and never given back is freed like any tensor.

    Attributes:
        budget: tokens that a micro-batch should have, if it is known. One that has more, since a single row is longer,
            takes no more memory for it as long as layers have something left that they need not keep.
    """

    def __init__(self) -> None:
        self.budget: int | None = None
        self._free: list[Tensor] = []

    def kept(self, tokens: int) -> int:
        """Of how many of so many tokens a layer keeps its halves; of the others it computes them once more.

        They are about half of what a layer keeps, so each token above the budget takes those of another away.
        """
        return tokens if self.budget is None else min(tokens, max(0, 2 * self.budget - tokens))

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """An uninitialised tensor with the type and device of ``like``."""
        size = math.prod(shape)
        for place, buffer in enumerate(self._free):
            if buffer.numel() >= size and buffer.dtype == like.dtype and buffer.device == like.device:
                return self._free.pop(place)[:size].view(shape)
        if self._free:
            self._free.pop()  # too small for this micro-batch, hence for every longer one: the new one takes its place
        return like.new_empty(size).view(shape)

    def give(self, taken: Tensor) -> None:
        """Take back what ``take`` gave; its user is done with it."""
        self._free.append(taken.new_empty(0).set_(taken.untyped_storage()))  # type: ignore[call-overload]


class _FrozenMlp(torch.autograd.Function):
    """``down(act(gate(x)) * up(x))`` with frozen weights and no biases, ``[..., H] -> [..., H]``; one backward pass.

    It goes through the tokens in blocks, so that what comes and goes is small and stays in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, gate: Tensor, up: Tensor, down: Tensor, act: str, shelf: Shelf) -> Tensor:
        flat, learn = hidden.flatten(0, -2).to(gate.dtype), ctx.needs_input_grad[0]
        most = shelf.kept(len(flat)) if learn else 0
        kept = shelf.take(flat, 2, most, len(gate)) if learn else None
        out = torch.empty_like(flat)
        for part in _blocks(len(flat), most, flat.device):
            halves = times(flat[part], gate.T), times(flat[part], up.T)
            if kept is not None and part.start < most:
                for half, place in zip(halves, kept[:, part], strict=True):
                    place.copy_(half)
            out[part] = times(ACTIVATIONS[act][0](halves[0]).mul_(halves[1]), down.T)
        if learn:
            ctx.save_for_backward(gate, up, down, kept, flat if most < len(flat) else None)
            ctx.act, ctx.shelf = act, shelf
        return out.view(hidden.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, down, kept, flat = ctx.saved_tensors
        activation, slope = ACTIVATIONS[ctx.act]
        incoming = gradient.flatten(0, -2).to(down.dtype)
        given = torch.empty_like(incoming)
        most = kept.shape[1]
        for part in _blocks(len(incoming), most, incoming.device):
            if part.start < most:
                opened, raised = kept[:, part]
            else:
                opened, raised = times(flat[part], gate.T), times(flat[part], up.T)
            inner = times(incoming[part], down)
            to_gate = slope(raised.mul_(inner), opened)
            to_up = inner.mul_(activation(opened))
            given[part] = times(to_gate, gate).add_(times(to_up, up))
        ctx.shelf.give(kept)
        return given.view(gradient.shape), None, None, None, None, None


def _blocks(tokens: int, most: int, device: torch.device) -> list[slice]:
    """Blocks of the tokens that are kept, then of those that are not."""
    bounds, size = ((0, most), (most, tokens)), BLOCK * (ON_GPU if device.type == "cuda" else 1)
    return [slice(start, min(start + size, end)) for begin, end in bounds for start in range(begin, end, size)]


class _Light:
    """A module's ``forward``: the frozen path while nothing in it is trained or replaced, else its own."""

    def __init__(self, module: nn.Module, act: str, shelf: Shelf):
        self._module, self._act, self.shelf = module, act, shelf

    def __call__(self, hidden: Tensor) -> Tensor:
        weights = frozen_weights(self._module)
        if weights is None:
            return type(self._module).forward(self._module, hidden)
        return _FrozenMlp.apply(hidden, *weights, self._act, self.shelf)


def frozen_weights(module: nn.Module) -> list[Tensor] | None:
    """Weights of gate, up and down projection if they are plain, without bias and all frozen; else None."""
    parts = [getattr(module, name, None) for name in PARTS]
    if not all(type(part) is nn.Linear and part.bias is None for part in parts):
        return None
    weights = [part.weight for part in parts if part is not None]
    return None if any(weight.requires_grad for weight in weights) else weights


def lighten(network: nn.Module) -> Shelf:
    """Let the gated MLPs of a network take the frozen path; returns the buffers that they share."""
    lights = (vars(module).get("forward") for module in network.modules())
    shelf = next((light.shelf for light in lights if isinstance(light, _Light)), None) or Shelf()
    for module in network.modules():
        act = _activation(module)
        if act is not None and "forward" not in vars(module) and _agrees(module, act):
            module.forward = _Light(module, act, shelf)  # type: ignore[method-assign]
    return shelf


def _activation(module: nn.Module) -> str | None:
    config = getattr(module, "config", None)
    names = [getattr(config, name, None) for name in ("hidden_activation", "hidden_act")]
    return next((name for name in names if name in ACTIVATIONS), None) if hasattr(module, PARTS[0]) else None


@torch.no_grad()
def _agrees(module: nn.Module, act: str) -> bool:
    parts = [getattr(module, name, None) for name in PARTS]
    if not all(type(part) is nn.Linear and part.bias is None for part in parts):
        return False
    weights = [part.weight for part in parts if part is not None]
    probe = torch.linspace(-2, 2, weights[0].shape[1], device=weights[0].device).to(weights[0].dtype)[None]
    own, found = module(probe), _FrozenMlp.apply(probe, *weights, act, Shelf())
    # Products in another order of summation differ by rounding, which is of the size of the largest numbers.
    return (own - found).abs().max().item() <= (1e-2 if own.dtype.itemsize < 4 else 1e-4) * own.abs().max().item()
