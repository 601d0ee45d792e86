"""Which parameters are trained: the attention projections, as the paper does, or everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from langxfer.components import Selector

# Names of self-attention modules. Linear attention and cross-attention are modules of other kinds.
ATTENTION = frozenset({"attn", "attention", "self_attn", "self_attention", "multi_head_attention"})

# Names of the projections directly inside them, as transformers' decoders call them.
PROJECTIONS = frozenset(
    {
        *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "dense", "c_proj"),
        *("qkv_proj", "kv_proj", "query_key_value", "c_attn"),
        *("Wqkv", "Wq", "Wk", "Wv", "Wo"),
        # Multi-head latent attention factors a projection into two of low rank.
        *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_a_proj", "o_b_proj"),
    }
)

NORMS = frozenset(
    {
        *("q_norm", "k_norm", "q_layernorm", "k_layernorm"),
        *("q_a_layernorm", "kv_a_layernorm", "q_a_norm", "kv_norm"),
    }
)

# Encoders of pictures and sound have attention too, but text gives them no gradient.
OTHER_SENSES = ("vision", "visual", "image", "img", "audio", "speech")


class AttentionSelector(Selector):
    """The query, key, value and output projections of self-attention (CLO, arXiv 2505.14297, appendix B).

    A parameter is selected when the module directly inside the innermost attention module of its name is
    one of the projections, separate (``self_attn.q_proj``) or fused (``attn.c_attn``, ``self_attn.qkv_proj``,
    ``attention.query_key_value``). ``mlp.c_proj`` or ``mlp.dense_h_to_4h`` are not inside one. Of hybrid
    models the layers with linear attention or a recurrent state stay frozen.
    """

    name: Literal["attention"] = "attention"
    biases: bool = Field(True, description="Train the biases of the projections too, where there are any.")
    norms: bool = Field(
        False, description="Train the norms of queries and keys too (q_norm, k_norm), where there are any."
    )

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        return frozenset(parameter for parameter in shapes if self._wanted(parameter.split(".")))

    def _wanted(self, path: list[str]) -> bool:
        *modules, leaf = path
        if any(module.startswith(OTHER_SENSES) for module in modules):
            return False
        inside = _inside_attention(modules)
        if inside in NORMS:
            return self.norms
        return inside in PROJECTIONS and (self.biases or leaf != "bias")


class FullSelector(Selector):
    """Every parameter."""

    name: Literal["full"] = "full"

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        return frozenset(shapes)


def _inside_attention(modules: list[str]) -> str | None:
    """The module directly inside the innermost attention module, past the numbers of a list of modules."""
    innermost = max((place for place, module in enumerate(modules) if module in ATTENTION), default=None)
    if innermost is None:
        return None
    return next((module for module in modules[innermost + 1 :] if not module.isdigit()), None)
