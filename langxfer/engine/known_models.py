"""What decides the cost of a model, from its files where they are, else from a list of well-known ones. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from langxfer.engine import models
from langxfer.engine.model_size import Shapes, read_config
from langxfer.errors import ArtifactError
from langxfer.recipe import Model


@dataclass(frozen=True)
class Anatomy:
    """``config.json`` and the shapes of all parameters; ``from_files`` unless they are from the list."""

    config: Mapping[str, Any]
    shapes: Shapes
    from_files: bool


@dataclass(frozen=True)
class TranslatorSize:
    """Multiplications per token of an encoder-decoder: for one that is read, for one that is written."""

    encoder: int
    decoder: int


def anatomy(model: Model) -> Anatomy | None:
    """Of a model that is at hand, or well known; None for others."""
    try:
        folder = models.local_folder(model)
    except ArtifactError:  # the hub does not answer
        folder = None
    shapes = models.stored_shapes(folder) if folder else {}
    if folder and shapes:
        return Anatomy(read_config(folder), shapes, from_files=True)
    config = _list()["decoders"].get(model.source)
    return Anatomy(config, _decoder(config), from_files=False) if config else None


def translator_size(model: str) -> TranslatorSize | None:
    """Of a well-known translation model."""
    found = _list()["translators"].get(model)
    if found is None:
        return None
    attention, mlp = 4 * found["d_model"] ** 2, 2 * found["d_model"] * found["ffn_dim"]
    head = found["vocab_size"] * found["d_model"]
    return TranslatorSize(found["layers"] * (attention + mlp), found["layers"] * (2 * attention + mlp) + head)


@cache
def _list() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(Path(__file__).with_name("known_models.yaml"))


def _decoder(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes in Llama's layout; Qwen2 has biases of queries, keys and values."""
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    key_value = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (hidden, hidden),
        "self_attn.k_proj.weight": (key_value, hidden),
        "self_attn.v_proj.weight": (key_value, hidden),
        "self_attn.o_proj.weight": (hidden, hidden),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    if config["model_type"] == "qwen2":
        sizes = {"q": hidden, "k": key_value, "v": key_value}
        layer |= {f"self_attn.{name}_proj.bias": (size,) for name, size in sizes.items()}
    shapes = {
        f"model.layers.{number}.{name}": shape
        for number in range(config["num_hidden_layers"])
        for name, shape in layer.items()
    }
    outside = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    head = {} if config.get("tie_word_embeddings") else {"lm_head.weight": (vocabulary, hidden)}
    return {**shapes, **outside, **head}
