"""What of a decoder decides its FLOPs, read from parameter shapes and ``config.json`` alone. No torch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from langxfer.engine.places import Place, place, split

Shapes = Mapping[str, tuple[int, ...]]

HEADS = frozenset({"lm_head", "embed_out", "output", "head"})
LOOKUPS = frozenset({"wte", "wpe"})  # and every name with "embed" in it
BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".masked_bias")  # stored beside the weights by older models
PARALLEL = frozenset({"codegen", "cohere", "cohere2", "gptj", "phi"})  # attention and MLP read the same input
FULL_OR_WINDOW = frozenset({"full_attention", "sliding_attention"})


class Uncountable(Exception):
    """The FLOPs of this model cannot be known from its shapes; the text says why."""


@dataclass(frozen=True)
class Parameter:
    """A parameter inside a layer.

    Attributes:
        weights: multiplications per token: its size for a matrix, that of the active experts for a stack of
            experts, 0 for a vector (a norm or a bias).
    """

    name: str
    place: Place
    weights: int


@dataclass(frozen=True)
class ModelSize:
    """What of a model decides its FLOPs.

    Attributes:
        layers: the parameters of each decoder layer.
        before: names of the parameters that come before the layers (embeddings).
        after: names of those between layers and head (the last norm).
        head: names of the head's parameters; of the embedding, where they are tied.
        head_weight: name of the head's matrix.
        head_size: vocabulary times hidden size.
        pair_forward: FLOPs per pair (query, key), all heads, of one layer's attention.
        pair_backward: the same of the backward pass.
        parallel: attention and MLP read the same input.
        packs: its attention goes by position ids, so that rows can be packed and share prompts.
        window: the longest row whose attention is full in all layers, or None for any.
        largest: ``(out, in)`` of the largest matrix of a layer.
    """

    layers: tuple[tuple[Parameter, ...], ...]
    before: frozenset[str]
    after: frozenset[str]
    head: frozenset[str]
    head_weight: str
    head_size: int
    pair_forward: int
    pair_backward: int
    parallel: bool
    packs: bool
    window: int | None
    largest: tuple[int, int]

    @cached_property
    def body_size(self) -> int:
        """Multiplications per token in all layers."""
        return sum(parameter.weights for layer in self.layers for parameter in layer)


def read_config(folder: Path) -> dict[str, Any]:
    """The text part of a model folder's ``config.json``."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("text_config") or config


def model_size(shapes: Shapes, config: Mapping[str, Any]) -> ModelSize:
    """Sort a decoder's parameters by what they cost.

    Args:
        shapes: names and shapes of all parameters, as in the model or in its files.
        config: ``config.json``, its text part.

    Raises:
        Uncountable: layers that are no attention and MLP, parameters of unknown use, or experts of unknown number.
    """
    _check_layer_types(config)
    stacks: dict[str, dict[int, list[Parameter]]] = defaultdict(lambda: defaultdict(list))
    outside: dict[str, tuple[int, ...]] = {}
    matrices: list[tuple[int, int]] = []
    for name, shape in shapes.items():
        if _buffer(name, shape):
            continue
        found = split(name)
        if found is None:
            outside[name] = shape
            continue
        own = place(found.path)
        stacks[found.stack][found.layer].append(Parameter(name, own, _weights(name, shape, own, config)))
        if len(shape) > 1:
            matrices.append((shape[-2], shape[-1]))
    if len(stacks) != 1:
        raise Uncountable(f"it has {len(stacks)} stacks of layers ({', '.join(sorted(stacks)) or 'none'}), not one")
    (layers,) = stacks.values()
    before, after, head = _outside(outside)
    weight = next(name for name in sorted(head) if len(shapes[name]) == 2)
    return ModelSize(
        tuple(tuple(layers[number]) for number in sorted(layers)),
        *(before, after, head, weight, prod(shapes[weight])),
        *_pair_costs(config),
        parallel=_parallel(config),
        packs=not config.get("alibi") and config.get("model_type") not in ("bloom", "mpt"),
        window=_window(config),
        largest=max(matrices, key=lambda shape: (prod(shape), shape)),  # of equal ones, always the same
    )


def _check_layer_types(config: Mapping[str, Any]) -> None:
    kinds = set(config.get("layer_types") or ()) - FULL_OR_WINDOW
    if kinds:
        raise Uncountable(f"{config.get('model_type')} has layers of the kinds {', '.join(sorted(kinds))}")


def _buffer(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(BUFFERS) and (len(shape) != 1 or name.endswith("inv_freq"))


def _weights(name: str, shape: tuple[int, ...], own: Place, config: Mapping[str, Any]) -> int:
    """Multiplications per token of one parameter."""
    if own.expert:
        return _expert_weights(name, shape, config)
    if len(shape) > 2:
        raise Uncountable(f"{name} has {len(shape)} dimensions, and is no stack of experts")
    return prod(shape) if len(shape) == 2 else 0


def _expert_weights(name: str, shape: tuple[int, ...], config: Mapping[str, Any]) -> int:
    """The active experts' part of a stack ``[E, a, b]``; of numbered experts, which are equal, the first ones count."""
    experts = _option(config, "num_local_experts", "num_experts", "n_routed_experts")
    active = _option(config, "num_experts_per_tok", "num_experts_per_token", "moe_topk")
    if not experts or not active:
        raise Uncountable(f"{name} is of an expert, and config.json does not say how many of them a token passes")
    number = next((int(piece) for piece in name.partition(".experts.")[2].split(".") if piece.isdigit()), None)
    if number is not None:
        return prod(shape) if len(shape) == 2 and number < active else 0
    return prod(shape[1:]) * active if len(shape) == 3 else 0


def _option(config: Mapping[str, Any], *names: str) -> Any:
    """The first of these options that the configuration has."""
    return next((config[name] for name in names if config.get(name) is not None), None)


def _outside(shapes: Shapes) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names of the parameters before the layers, after them, and in the head."""
    before: set[str] = set()
    after: set[str] = set()
    head: set[str] = set()
    for name, shape in shapes.items():
        module = name.split(".")[-2] if "." in name else name
        if module in HEADS:
            head.add(name)
        elif "embed" in module or module in LOOKUPS:
            before.add(name)
        elif len(shape) < 2:
            after.add(name)
        else:
            raise Uncountable(f"{name} is a matrix outside the layers, of unknown use")
    if not any(len(shapes[name]) == 2 for name in head):  # tied: the matrix that looks tokens up also scores them
        tables = [name for name in before if len(shapes[name]) == 2 and "pos" not in name and "wpe" not in name]
        if len(tables) != 1:
            raise Uncountable(f"it has no head, and {len(tables)} embeddings ({', '.join(sorted(tables)) or 'none'})")
        head.update(tables)
    return frozenset(before), frozenset(after), frozenset(head)


def _pair_costs(config: Mapping[str, Any]) -> tuple[int, int]:
    """FLOPs per pair, all heads of a layer: scores and mixing forward; five products backward."""
    heads = _option(config, "num_attention_heads", "n_head", "n_heads", "num_heads")
    hidden = _option(config, "hidden_size", "n_embd", "d_model")
    if not isinstance(heads, int) or not isinstance(hidden, int):
        raise Uncountable("config.json gives no single number of attention heads and hidden size")
    if config.get("qk_nope_head_dim"):  # multi-head latent attention
        keys, values = config["qk_nope_head_dim"] + config["qk_rope_head_dim"], config["v_head_dim"]
    else:
        keys = values = config.get("head_dim") or hidden // heads
    return 2 * heads * (keys + values), 2 * heads * (3 * keys + 2 * values)


def _parallel(config: Mapping[str, Any]) -> bool:
    kind = config.get("model_type")
    if kind == "gpt_neox":
        return config.get("use_parallel_residual", True)
    return kind in PARALLEL or bool(config.get("parallel_attn") or config.get("new_decoder_architecture"))


def _window(config: Mapping[str, Any]) -> int | None:
    """Width of the sliding window, if any layer has one."""
    kinds = config.get("layer_types")
    if kinds and "sliding_attention" not in kinds:
        return None
    return config.get("sliding_window") if config.get("use_sliding_window", True) else None
