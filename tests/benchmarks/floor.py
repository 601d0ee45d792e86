"""The arithmetic that no CLO step can do without, as a pure function of lengths and sizes.

Counted are multiplications and additions (2 per multiply-add) of linear layers and of attention
products; norms, softmax, activation functions and the optimizer are taken as free. What is left:

- a prompt is computed once for the responses that follow it;
- the last token of a response (the end of the turn) predicts nothing, so it is never fed;
- in the last layer, prompt tokens but the last have keys and values alone: nobody reads the rest;
- the head sees the positions that predict a response token; the last prompt token's logits serve all its responses;
- weight gradients are those of the attention projections, and no gradient goes below those of the first layer;
- references are there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from langxfer.data import Side, View
from langxfer.engine.encode import Encoded


@dataclass(frozen=True)
class Sizes:
    """A decoder with gated MLPs and grouped-query attention: numbers of layers, and widths of a layer."""

    layers: int
    hidden: int
    queries: int  # heads × head width
    keys: int  # key-value heads × head width
    mlp: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> Sizes:
        """From a transformers configuration of the Llama kind."""
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = (config.num_attention_heads * width, config.num_key_value_heads * width)
        return cls(config.num_hidden_layers, config.hidden_size, *heads, config.intermediate_size, config.vocab_size)


@dataclass(frozen=True)
class Tree:
    """Lengths in tokens of a prompt and of the responses that follow it."""

    prompt: int
    responses: Sequence[int]

    @property
    def fed(self) -> int:
        """Response tokens that are fed: all but each last one."""
        return sum(length - 1 for length in self.responses)

    @property
    def scored(self) -> int:
        """Positions that the head sees: what is fed, and the last prompt token."""
        return self.fed + 1

    def seen(self, *, last_layer: bool) -> int:
        """(query, key) pairs of causal attention; in the last layer the prompt's last token alone is a query of it."""
        within = self.prompt if last_layer else self.prompt * (self.prompt + 1) // 2
        fed = [length - 1 for length in self.responses]
        return within + sum(n * self.prompt + n * (n + 1) // 2 for n in fed)


def step_flops(trees: Iterable[Tree], sizes: Sizes) -> float:
    """Forward and backward FLOPs of one step over the trees, with gradients of the attention projections alone."""
    query, key = sizes.hidden * sizes.queries, sizes.hidden * sizes.keys  # weights of q (or o), and of k (or v)
    mlp = 3 * sizes.hidden * sizes.mlp
    macs = 0.0
    for tree in trees:
        for layer in range(sizes.layers):
            last = layer == sizes.layers - 1
            tokens = tree.prompt + tree.fed  # all have keys and values
            active = tree.scored if last else tokens  # the others have nothing else
            forward = active * (2 * query + mlp) + tokens * 2 * key
            to_inputs = forward if layer else active * (query + mlp)  # below q, k, v of the first layer all is frozen
            to_weights = active * 2 * query + tokens * 2 * key
            attention = 2 * sizes.queries * tree.seen(last_layer=last)  # scores, and the weighed sum of values
            macs += forward + to_inputs + to_weights + 3 * attention
        macs += 2 * tree.scored * sizes.hidden * sizes.vocabulary
    return 2 * macs


def trees_of(examples: Iterable[Encoded]) -> list[Tree]:
    """The two trees of every example: a prompt, and both responses."""
    return [
        Tree(len(example.prompts[side]), [len(example.responses[view]) for view in View if view.prompt is side])
        for example in examples
        for side in Side
    ]
