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
PARTS = ("gate_proj", "up_proj", "down_proj")


class Shelf:
    """Buffers for what layers keep, used again by the next micro-batch.

    Tensors of many sizes that come and go leave holes in the heap, a third of its size in the end; these do not.
    What is taken and never given back is freed like any tensor.
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []

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
    """``down(act(gate(x)) * up(x))`` with frozen weights and no biases, ``[..., H] -> [..., H]``; one backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, gate: Tensor, up: Tensor, down: Tensor, act: str, shelf: Shelf) -> Tensor:
        flat = hidden.flatten(0, -2).to(gate.dtype)
        shape, learn = (2, len(flat), gate.shape[0]), ctx.needs_input_grad[0]
        kept = shelf.take(flat, *shape) if learn else flat.new_empty(shape)
        opened, raised = kept
        torch.mm(flat, gate.T, out=opened)
        torch.mm(flat, up.T, out=raised)
        inner = ACTIVATIONS[act][0](opened).mul_(raised)
        if learn:
            ctx.save_for_backward(gate, up, down, kept)
            ctx.act, ctx.shelf = act, shelf
        return torch.mm(inner, down.T).view(hidden.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, down, kept = ctx.saved_tensors
        opened, raised = kept
        activation, slope = ACTIVATIONS[ctx.act]
        inner = torch.mm(gradient.flatten(0, -2).to(down.dtype), down)
        to_gate = slope(raised.mul_(inner), opened)
        to_up = inner.mul_(activation(opened))
        ctx.shelf.give(kept)
        given = torch.mm(to_gate, gate).add_(torch.mm(to_up, up))
        return given.view(gradient.shape), None, None, None, None, None


class _Light:
    """A module's ``forward``: the frozen path while nothing in it is trained or replaced, else its own."""

    def __init__(self, module: nn.Module, act: str, shelf: Shelf):
        self._module, self._act, self._shelf = module, act, shelf

    def __call__(self, hidden: Tensor) -> Tensor:
        weights = frozen_weights(self._module)
        if weights is None:
            return type(self._module).forward(self._module, hidden)
        return _FrozenMlp.apply(hidden, *weights, self._act, self._shelf)


def frozen_weights(module: nn.Module) -> list[Tensor] | None:
    """Weights of gate, up and down projection if they are plain, without bias and all frozen; else None."""
    parts = [getattr(module, name, None) for name in PARTS]
    if not all(type(part) is nn.Linear and part.bias is None for part in parts):
        return None
    weights = [part.weight for part in parts if part is not None]
    return None if any(weight.requires_grad for weight in weights) else weights


def lighten(network: nn.Module) -> int:
    """Let the gated MLPs of a network take the frozen path; returns how many may."""
    shelf, found = Shelf(), 0
    for module in network.modules():
        act = _activation(module)
        if act is not None and "forward" not in vars(module) and _agrees(module, act):
            module.forward = _Light(module, act, shelf)  # type: ignore[method-assign]
            found += 1
    return found


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
    return torch.allclose(own, found, rtol=1e-2 if own.dtype.itemsize < 4 else 1e-4, atol=1e-5)
