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

from langxfer.engine.products import times

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

    Attributes:
        most: tokens for which a layer may keep anything; what it needs of others is computed once more. A row
            that is longer than a micro-batch should be then takes little more memory than one that is not.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
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
        flat, learn = hidden.flatten(0, -2).to(gate.dtype), ctx.needs_input_grad[0]
        most = len(flat) if shelf.most is None else min(shelf.most, len(flat))
        first, rest = flat[:most], flat[most:]
        kept = shelf.take(flat, 2, most, len(gate)) if learn else flat.new_empty(2, most, len(gate))
        out = _down(_halves(first, gate, up, kept), down, act)
        if len(rest):
            out = torch.cat([out, _down(_halves(rest, gate, up), down, act)])
        if learn:
            ctx.save_for_backward(gate, up, down, kept, rest if len(rest) else None)
            ctx.act, ctx.shelf = act, shelf
        return out.view(hidden.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, down, kept, rest = ctx.saved_tensors
        flat = gradient.flatten(0, -2).to(down.dtype)
        most = kept.shape[1]
        given = _turned_back(flat[:most], kept, gate, up, down, ctx.act)
        ctx.shelf.give(kept)
        if rest is not None:
            own = _turned_back(flat[most:], _halves(rest, gate, up), gate, up, down, ctx.act)
            given = torch.cat([given, own])
        return given.view(gradient.shape), None, None, None, None, None


Halves = tuple[Tensor, Tensor] | Tensor  # of the MLP, each [n, I]: the gate before its activation, and the other


def _halves(flat: Tensor, gate: Tensor, up: Tensor, out: Tensor | None = None) -> Halves:
    if out is None:
        return times(flat, gate.T), times(flat, up.T)
    out[0].copy_(times(flat, gate.T))
    out[1].copy_(times(flat, up.T))
    return out


def _down(halves: Halves, down: Tensor, act: str) -> Tensor:
    opened, raised = halves
    return times(ACTIVATIONS[act][0](opened).mul_(raised), down.T)


def _turned_back(gradient: Tensor, halves: Halves, gate: Tensor, up: Tensor, down: Tensor, act: str) -> Tensor:
    """The gradient ``[n, H]`` of the input, from that of the output; what ``halves`` has is lost."""
    opened, raised = halves
    activation, slope = ACTIVATIONS[act]
    inner = times(gradient, down)
    to_gate = slope(raised.mul_(inner), opened)
    to_up = inner.mul_(activation(opened))
    return times(to_gate, gate).add_(times(to_up, up))


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
    return torch.allclose(own, found, rtol=1e-2 if own.dtype.itemsize < 4 else 1e-4, atol=1e-5)
