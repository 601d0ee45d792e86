"""Where in a decoder layer a parameter sits, by its name: which products come before it and which after.

A layer is two chains, attention and MLP. Within a chain, ``order`` says what feeds what: a parameter's
input depends on every parameter of its chain with a lower order. A router of experts is fed as they are,
and feeds none of them: it weighs what they give.

    attention:  norm 0, q k v 1, norms of q and k 2, second factors 3, output 4
    mlp:        norm 0, gate and up 1, down 3, norm after it 5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ATTENTION, MLP = "attention", "mlp"
ATTENTION_OUT, MLP_OUT, AFTER = 4, 3, 5

ATTENTION_MODULES = frozenset({"attn", "attention", "self_attn", "self_attention", "multi_head_attention"})
ATTENTION_OUTPUTS = frozenset({"o_proj", "out_proj", "dense", "c_proj", "Wo", "wo", "o_a_proj", "o_b_proj"})
SECOND_FACTORS = frozenset({"q_b_proj", "kv_b_proj"})  # multi-head latent attention
MLP_OUTPUTS = frozenset({"down_proj", "fc2", "c_proj", "dense_4h_to_h", "fc_out", "out_proj", "w2", "wo"})
ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
NORMS_BEFORE_MLP = (
    *("post_attention", "post_self_attn", "pre_feedforward", "pre_mlp", "final_layer_norm"),
    *("ln_2", "ln2", "norm_2", "norm2", "ffn_norm", "ln_mlp", "mlp_norm"),
)
NORMS_AFTER_MLP = ("post_feedforward", "post_mlp")


@dataclass(frozen=True)
class Place:
    """A parameter's chain, its order there, whether it is one of several experts, whether it chooses among them."""

    chain: str
    order: float
    expert: bool = False
    router: bool = False


MLP_NORM = Place(MLP, 0)


@dataclass(frozen=True)
class Inside:
    """A parameter of a layer: ``stack.layer.path``."""

    stack: str
    layer: int
    path: tuple[str, ...]


def split(name: str) -> Inside | None:
    """``model.layers.3.mlp.up_proj.weight`` is in layer 3; None for a parameter outside all layers."""
    pieces = name.split(".")
    for number, piece in enumerate(pieces):
        if piece.isdigit():
            return Inside(".".join(pieces[:number]), int(piece), tuple(pieces[number + 1 :]))
    return None


def place(path: Sequence[str]) -> Place:
    """The place of a parameter, from its name inside the layer."""
    modules = [piece for piece in path[:-1] if not piece.isdigit()]
    second = 0.5 if "lora_B" in modules else 0.0  # the second matrix of an adapter is fed by the first
    attention = max((number for number, module in enumerate(modules) if module in ATTENTION_MODULES), default=None)
    if attention is not None:
        return Place(ATTENTION, _in_attention(modules[attention + 1 :]) + second)
    if len(modules) == 1 and _norm(modules[0]):
        return _layer_norm(modules[0])
    expert = "experts" in modules
    if not expert and any(module in ROUTERS for module in modules):
        return Place(MLP, 1, router=True)
    output = any(piece in MLP_OUTPUTS for piece in (*modules, *(path[-1:] if expert else ())))
    return Place(MLP, (MLP_OUT if output else 1) + second, expert)


def _in_attention(modules: Sequence[str]) -> float:
    if any(module in ATTENTION_OUTPUTS for module in modules):
        return ATTENTION_OUT + 0.5 * ("o_b_proj" in modules)
    if any(map(_norm, modules)):
        return 2
    return 3 if any(module in SECOND_FACTORS for module in modules) else 1


def _norm(module: str) -> bool:
    return "norm" in module or module.startswith("ln")


def _layer_norm(module: str) -> Place:
    if module.startswith(NORMS_AFTER_MLP):
        return Place(MLP, AFTER)
    return Place(MLP if any(part in module for part in NORMS_BEFORE_MLP) else ATTENTION, 0)
