"""The parts of a decoder, known by the names that transformers gives them. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

Projection = Literal["query", "key", "value", "output"]
EVERY_PROJECTION: tuple[Projection, ...] = get_args(Projection)

# Names of self-attention modules. Linear attention and cross-attention are modules of other kinds.
ATTENTION = frozenset({"attn", "attention", "self_attn", "self_attention", "multi_head_attention"})

# Modules directly inside them, and the projections that each holds; more than one where they are fused.
PROJECTIONS: Mapping[str, tuple[Projection, ...]] = {
    **dict.fromkeys(("q_proj", "Wq"), ("query",)),
    **dict.fromkeys(("k_proj", "Wk"), ("key",)),
    **dict.fromkeys(("v_proj", "Wv"), ("value",)),
    **dict.fromkeys(("o_proj", "out_proj", "dense", "c_proj", "Wo"), ("output",)),
    **dict.fromkeys(("qkv_proj", "query_key_value", "c_attn", "Wqkv"), ("query", "key", "value")),
    "kv_proj": ("key", "value"),
    # Multi-head latent attention factors a projection into two of low rank.
    **dict.fromkeys(("q_a_proj", "q_b_proj"), ("query",)),
    **dict.fromkeys(("kv_a_proj_with_mqa", "kv_b_proj"), ("key", "value")),
    **dict.fromkeys(("o_a_proj", "o_b_proj"), ("output",)),
}

# Norms directly inside attention modules, and the projections whose results they scale.
NORMS: Mapping[str, tuple[Projection, ...]] = {
    **dict.fromkeys(("q_norm", "q_layernorm", "q_a_layernorm", "q_a_norm"), ("query",)),
    **dict.fromkeys(("k_norm", "k_layernorm"), ("key",)),
    **dict.fromkeys(("kv_a_layernorm", "kv_norm"), ("key", "value")),
}

# Linear layers of the feed-forward part, directly inside a module of its own or (OPT) inside the layer.
MLP = frozenset(
    {
        *("gate_proj", "up_proj", "down_proj", "gate_up_proj"),
        *("c_fc", "c_proj", "fc1", "fc2", "fc_in", "fc_out"),
        *("dense_h_to_4h", "dense_4h_to_h", "w1", "w2", "w3"),
    }
)

# Encoders of pictures and sound have attention too, but text gives them no gradient.
OTHER_SENSES = ("vision", "visual", "image", "img", "audio", "speech")


def of_another_sense(modules: Iterable[str]) -> bool:
    """Whether a path leads into an encoder of pictures or sound."""
    return any(module.startswith(OTHER_SENSES) for module in modules)


def inside_attention(modules: Sequence[str]) -> str | None:
    """The module directly inside the innermost attention module, past the numbers of a list of modules."""
    innermost = max((place for place, module in enumerate(modules) if module in ATTENTION), default=None)
    if innermost is None or of_another_sense(modules):
        return None
    return next((module for module in modules[innermost + 1 :] if not module.isdigit()), None)


def is_mlp(modules: Sequence[str]) -> bool:
    """Whether a path leads to a linear layer of the feed-forward part of a decoder layer."""
    return bool(modules) and modules[-1] in MLP and not (ATTENTION & set(modules) or of_another_sense(modules))


class Stack:
    """The decoder layers of a model: the longest numbered list of modules among its parameters.

    Attributes:
        count: number of layers; 0 where nothing is numbered.
    """

    def __init__(self, names: Iterable[str]):
        numbers: dict[str, set[int]] = {}
        for name in names:
            path = name.split(".")
            place = next((i for i, part in enumerate(path) if part.isdecimal()), None)
            if place is not None and not of_another_sense(path):
                numbers.setdefault(".".join(path[:place]), set()).add(int(path[place]))
        self._list = max(numbers, key=lambda prefix: (len(numbers[prefix]), prefix), default=None)
        self.count = max(numbers[self._list]) + 1 if self._list is not None else 0

    def layer(self, name: str) -> int | None:
        """The layer of a parameter or module; None outside the layers (embeddings, the last norm, the head)."""
        if self._list is None:
            return None
        start = f"{self._list}." if self._list else ""
        number = name.removeprefix(start).split(".")[0]
        return int(number) if name.startswith(start) and number.isdecimal() else None


def generic(name: str) -> str:
    """A name with its numbers as ``*``: the same for every layer."""
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))
