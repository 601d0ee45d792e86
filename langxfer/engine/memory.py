"""How much memory a training step will take, from the shapes of a model alone. No torch.

Activations are what autograd keeps of a micro-batch until its backward pass: counted here tensor by tensor for
decoders of the usual kind (norm, attention, norm, MLP), as this engine runs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from langxfer.engine.tokens import Layout, Row, longest, repeated, rows_of

if TYPE_CHECKING:
    from langxfer.data import AnyView
    from langxfer.engine.encode import Encoded
    from langxfer.recipe import Phase, Recipe

LAYER = re.compile(r"\.(\d+)\.")
INTERPRETER = (
    570 << 20
)  # resident beside the model: Python, torch, transformers, and what they load with the first step
HOLES = 1.3  # what the C library's heap takes for activations that come and go, over what they are
FLOAT = 4  # bytes; trained weights, gradients, moments and norms are float32


@dataclass(frozen=True)
class Decoder:
    """What decides the memory of a layer: widths in numbers, from a transformers configuration."""

    layers: int
    hidden: int
    query: int
    key_value: int
    inner: int
    vocabulary: int
    heads: int
    gated: bool
    headwise_norms: bool
    steps: int = 1  # tensors that an activation keeps: transformers writes some as several operations

    @classmethod
    def of(cls, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Decoder:
        """From ``config.json`` and the shapes of all parameters."""
        text = config.get("text_config") or config

        def first(*names: str, default: Any = None) -> Any:
            return next((text[name] for name in names if text.get(name) is not None), default)

        hidden, heads = first("hidden_size", "n_embd"), first("num_attention_heads", "n_head")
        width = first("head_dim", default=hidden // heads)
        return cls(
            layers=first("num_hidden_layers", "n_layer"),
            hidden=hidden,
            query=heads * width,
            key_value=first("num_key_value_heads", default=heads) * width,
            inner=max((max(shape) for name, shape in shapes.items() if "mlp" in name), default=4 * hidden),
            vocabulary=first("vocab_size"),
            heads=heads,
            gated=any("gate" in name for name in shapes),
            headwise_norms=any(".q_norm." in name for name in shapes),
            steps=4 if first("activation_function", "hidden_act") in ("gelu_new", "gelu_fast") else 1,
        )


def kept_per_token(decoder: Decoder, trained: Iterable[str], size: int, recompute: bool = False) -> int:
    """Bytes that a token of a micro-batch keeps until the backward pass.

    Args:
        decoder: the model.
        trained: names of the trained parameters.
        size: bytes of an activation: 4 for float32, 2 for bfloat16.
        recompute: activation checkpointing, which keeps a layer's input, and one layer at a time.
    """
    trained = list(trained)
    parts = [(int(found[1]), name) for name in trained if (found := LAYER.search(name))]
    lowest = lowest_layer(trained, decoder)
    in_attention = any("attn" in name or "attention" in name for _, name in parts)
    in_mlp = any("mlp" in name for _, name in parts)
    in_norms = any("norm" in name or ".ln_" in name for _, name in parts)
    layers = decoder.layers - lowest
    layer = _layer(decoder, in_attention, in_mlp, in_norms, size)
    top = FLOAT * decoder.hidden + size * decoder.hidden
    return (layers * size * decoder.hidden + layer if recompute else layers * layer) + top


def lowest_layer(trained: Iterable[str], decoder: Decoder) -> int:
    """The first layer of which something is kept: below the lowest trained parameter there is no backward pass."""
    found = [(LAYER.search(name), name) for name in trained]
    if any(layer is None and "embed" in name for layer, name in found):
        return 0
    return min((int(layer[1]) for layer, _ in found if layer), default=decoder.layers)


def _layer(decoder: Decoder, in_attention: bool, in_mlp: bool, in_norms: bool, size: int) -> int:
    norms = 2 * (FLOAT * decoder.hidden + FLOAT)
    attention = size * (2 * decoder.query + 2 * decoder.key_value) + FLOAT * decoder.heads
    if decoder.headwise_norms:
        norms += FLOAT * (decoder.query + decoder.key_value)
    norms *= 2 if in_norms and decoder.gated else 1  # by root mean square: the normed values too
    attention += size * decoder.hidden if in_attention else 0
    kept = decoder.steps + (1 if in_mlp else 0)  # the input of the last projection only for its own gradient
    if decoder.gated:
        kept = 4 if in_mlp else 2
        if in_norms and size < FLOAT:  # what they give is float32: each projection has a copy of its own
            attention += 2 * size * decoder.hidden if in_attention else 0
            norms += size * decoder.hidden if in_mlp else 0
    return norms + attention + size * decoder.inner * kept + (size * decoder.hidden if in_mlp else 0)


def copies(learned: int, size: int) -> int:
    """Bytes of trained weights in 16 bits: autocast makes a copy of each, which is kept until the backward pass."""
    return size * learned if size < FLOAT else 0


@dataclass(frozen=True)
class Memory:
    """Predicted peak of a training step, in bytes, by part."""

    interpreter: int
    weights: int
    copies: int
    gradients: int
    moments: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def predict(
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    trained: Iterable[str],
    tokens: int,
    *,
    size: int = FLOAT,
    recompute: bool = False,
    on_cpu: bool = True,
    interpreter: int | None = None,
    budget: int | None = None,
) -> Memory:
    """Memory of a step whose largest micro-batch has ``tokens`` tokens.

    ``interpreter`` is what the process holds without the model, where that is known and more than ``INTERPRETER``:
    a process that has done little has not loaded all yet. Frozen gated MLPs
    keep less of a micro-batch above ``budget`` tokens.
    """
    decoder, names = Decoder.of(config, shapes), set(trained)
    learned = sum(prod(shapes[name]) for name in names if name in shapes)
    others = sum(prod(shape) for name, shape in shapes.items() if name not in names)
    kept = tokens * kept_per_token(decoder, names, size, recompute)
    if budget is not None and decoder.gated and not recompute and not any("mlp" in name for name in names):
        kept -= (
            min(tokens, 2 * max(0, tokens - budget))
            * 2
            * size
            * decoder.inner
            * (decoder.layers - lowest_layer(names, decoder))
        )
    tile = 3 * FLOAT * min(tokens, 512) * min(decoder.vocabulary, 4096)
    passing = 3 * size * tokens * max(decoder.inner, 2 * decoder.hidden)
    base = max(interpreter or 0, INTERPRETER) if on_cpu else 0
    return Memory(
        base,
        weights=FLOAT * learned + size * others,
        copies=copies(learned, size),
        gradients=FLOAT * learned,
        moments=2 * FLOAT * learned,
        activations=_held(kept, on_cpu),
        workspace=tile + passing,
    )


def _held(kept: int, on_cpu: bool) -> int:
    return round(kept * HOLES) if on_cpu else kept


def largest_micro_batch(
    examples: Sequence[Encoded], views: Iterable[AnyView], layout: Layout, separate: bool, budget: int, batch_size: int
) -> int:
    """Tokens of the largest micro-batch that a step of these examples may have."""
    views = list(views)
    groups = [[view for view in views if view.value[0] == side] for side in "ST"] if separate else [views]
    units: list[list[int]] = []
    for example, times in repeated(examples):
        units += [[_fed(rows_of(example, group, layout), layout) for group in groups]] * times
    longest = max((tokens for own in units for tokens in own), default=0)
    batch = sum(sorted(map(sum, units), reverse=True)[:batch_size])
    return min(max(budget, longest), batch)


def _fed(rows: Sequence[Row], layout: Layout) -> int:
    lengths = [longest([row]) for row in rows]
    return len(lengths) * max(lengths, default=0) if layout == "padded" else sum(lengths)


def of_training(
    recipe: Recipe,
    phase: Phase,
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    trained: Iterable[str],
    examples: Sequence[Encoded],
    budget: int,
    *,
    on_cpu: bool,
    interpreter: int | None = None,
) -> Memory:
    """Predicted peak of training a phase: ``shapes`` after the selector's adapters, ``budget`` in tokens."""
    objective, compute = phase.objective, recipe.compute
    tokens = largest_micro_batch(
        examples,
        objective.views,
        compute.layout,
        objective.directions_separate,
        budget,
        phase.training.batch_size,
    )
    size = 2 if recipe.model.dtype == "bfloat16" else FLOAT
    recompute = compute.activation_checkpointing
    return predict(
        config,
        shapes,
        trained,
        tokens,
        size=size,
        recompute=recompute,
        on_cpu=on_cpu,
        interpreter=interpreter,
        budget=budget,
    )
