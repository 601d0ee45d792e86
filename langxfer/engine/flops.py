"""Floating-point operations of a pass, exact for every matrix product, from shapes alone. No torch.

A product of ``[n, a]`` and ``[a, b]`` is ``2 n a b`` FLOPs. Counted are the products with the weights of
linear layers, the LM head, and the two products of attention, each forward and backward:

- dgrad, the gradient of a layer's input, only where something before that layer is trained;
- wgrad, the gradient of a weight, only for trained weights;
- attention backward as flash attention computes it: five products, of which one recomputes the scores.

Not counted: norms, softmax, rotary embeddings, activations, embedding lookups, the optimizer; and what frozen MLPs
compute once more where a row is longer than a micro-batch should be.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from langxfer.engine.model_size import ModelSize, Parameter
from langxfer.engine.places import AFTER, ATTENTION, ATTENTION_OUT, MLP, MLP_NORM, MLP_OUT
from langxfer.engine.tokens import Tokens

INFINITE = float("inf")


@dataclass(frozen=True)
class Rates:
    """FLOPs per token in the body, per pair in attention, per scored position in the head."""

    token_forward: int
    token_backward: int
    pair_forward: int
    pair_backward: int
    head_forward: int
    head_backward: int


@dataclass(frozen=True)
class Part:
    """One part of a pass: ``tokens`` computed, FLOPs forward and backward."""

    tokens: int = 0
    forward: int = 0
    backward: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.tokens + other.tokens, self.forward + other.forward, self.backward + other.backward)


@dataclass(frozen=True)
class Account:
    """The FLOPs of a pass by part; ``str`` makes a table of it. ``head.tokens`` are scored positions."""

    prompt: Part = Part()
    response: Part = Part()
    padding: Part = Part()
    head: Part = Part()

    def __add__(self, other: Account) -> Account:
        return Account(*(own + others for own, others in zip(self.parts.values(), other.parts.values(), strict=True)))

    @property
    def parts(self) -> dict[str, Part]:
        return {"prompt": self.prompt, "response": self.response, "padding": self.padding, "head": self.head}

    @property
    def tokens(self) -> int:
        """Positions that go through the body, padding included."""
        return self.prompt.tokens + self.response.tokens + self.padding.tokens

    @property
    def forward(self) -> int:
        return sum(part.forward for part in self.parts.values())

    @property
    def backward(self) -> int:
        return sum(part.backward for part in self.parts.values())

    @property
    def flops(self) -> int:
        return self.forward + self.backward

    def __str__(self) -> str:
        total = Part(self.tokens, self.forward, self.backward)
        rows = [(name, part) for name, part in self.parts.items() if part != Part()] + [("total", total)]
        lines = [f"{'':<9}{'tokens':>14}{'forward FLOP':>26}{'backward FLOP':>26}"]
        return "\n".join(
            [*lines, *(f"{name:<9}{own.tokens:>14,}{own.forward:>26,}{own.backward:>26,}" for name, own in rows)]
        )


def account(tokens: Tokens, rates: Rates) -> Account:
    """The FLOPs of what a pass computes."""

    def body(count: int, pairs: int) -> Part:
        forward = count * rates.token_forward + pairs * rates.pair_forward
        return Part(count, forward, count * rates.token_backward + pairs * rates.pair_backward)

    return Account(
        body(tokens.prompt, tokens.prompt_pairs),
        body(tokens.response, tokens.response_pairs),
        body(tokens.padding, tokens.padding_pairs),
        Part(tokens.scored, tokens.scored * rates.head_forward, tokens.scored * rates.head_backward),
    )


def rates_of(size: ModelSize, trained: Set[str], *, recompute: bool = False) -> Rates:
    """FLOPs per token, pair and scored position when ``trained`` are the parameters with gradients.

    With nothing trained there is no backward pass. ``recompute`` is activation checkpointing: layers with
    gradients are computed once more, up to the last product whose result the backward pass needs. The head's
    backward pass counts d(logp)/d(hidden), which a frozen head makes during the forward pass; a trained head
    computes its logits once more.
    """
    flow = bool(size.before & trained)  # whether the input of the layer at hand has a gradient
    body = pairs = 0
    for parameters in size.layers:
        layer = _Layer(parameters, trained, flow, size.parallel)
        body += layer.backward() + (layer.repeated() if recompute else 0)
        pairs += size.pair_backward if layer.through_attention else 0
        pairs += size.pair_forward if recompute and layer.repeated() else 0
        flow = flow or bool(layer.trained)
    flow = flow or bool(size.after & trained)
    head = size.head_size * flow
    if size.head & trained:
        head += size.head_size * (1 + (size.head_weight in trained))
    forward, scores = 2 * size.body_size, len(size.layers) * size.pair_forward
    return Rates(forward, 2 * body, scores, pairs, 2 * size.head_size, 2 * head)


class _Layer:
    """What of one layer takes part in the backward pass; ``flow``: its input has a gradient."""

    def __init__(self, parameters: Sequence[Parameter], trained: Set[str], flow: bool, parallel: bool):
        self.parameters, self.flow, self.parallel = parameters, flow, parallel
        self.trained = [own for own in parameters if own.name in trained]
        self.first = {chain: self._first(chain) for chain in (ATTENTION, MLP)}
        feeds_mlp = INFINITE  # attention's parameters of a lower order feed the MLP
        if parallel:  # nothing of it does, but a norm that both chains share
            feeds_mlp = 0 if any(own.place == MLP_NORM for own in parameters) else 1
        self.reaches_mlp = flow or self.first[ATTENTION] < feeds_mlp
        self.through_attention = flow or self.first[ATTENTION] < ATTENTION_OUT

    def _first(self, chain: str) -> float:
        """The order of the first trained parameter that feeds others of its chain."""
        orders = (own.place.order for own in self.trained if own.place.chain == chain and not own.place.router)
        return min(orders, default=INFINITE)

    def backward(self) -> int:
        """Multiplications per token: dgrad where the input has a gradient, wgrad where the weight has."""
        total = sum(own.weights for own in self.trained)
        for own in self.parameters:
            incoming = self.flow if own.place.chain == ATTENTION else self.reaches_mlp
            total += own.weights * (incoming or self.first[own.place.chain] < own.place.order)
        return total

    def repeated(self) -> int:
        """Multiplications per token that checkpointing does again.

        PyTorch stops a repetition when it has all that the backward pass needs: before a layer's last product.
        """
        last = [own for own in self.parameters if own.place.chain == MLP and own.place.order >= MLP_OUT]
        needs = [own for own in self.trained if own.weights or own not in last or own.place.order >= AFTER]
        if not self.flow and not needs:  # the bias of the last product needs nothing but its output's gradient
            return 0
        if self.parallel and not self.reaches_mlp and not any(own.place.chain == MLP for own in self.trained):
            if not any(own.weights or own.place.order < ATTENTION_OUT for own in self.trained):
                return 0
            within = [own for own in self.parameters if own.place.chain == ATTENTION]  # the MLP comes after it
            return sum(own.weights for own in within if own.place.order < ATTENTION_OUT)
        spared = all(own.place.order < AFTER and not own.place.expert for own in last)
        return sum(own.weights for own in self.parameters if not (spared and own in last))
