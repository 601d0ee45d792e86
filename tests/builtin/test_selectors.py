"""The selectors on the parameter names of real architectures, built without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.builtin.selectors import AttentionSelector, FullSelector

SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEADS = {"head_dim": 8}
FALCON = {key: value for key, value in SMALL.items() if key not in ("num_key_value_heads", "intermediate_size")}
BLOOM = {"n_layer": 2, "hidden_size": 32, "n_head": 4, "vocab_size": 64}
GPT2 = {
    "n_layer": 2,
    "n_embd": 32,
    "n_head": 4,
    "n_positions": 16,
    "vocab_size": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT_NEO = {"num_layers": 2, "attention_types": [[["global"], 2]], "hidden_size": 32, "num_heads": 4, "vocab_size": 64}
OPT = {"num_hidden_layers": 2, "hidden_size": 32, "ffn_dim": 64, "num_attention_heads": 4, "vocab_size": 64}

SEPARATE = {f"model.layers.@.self_attn.{x}_proj.weight" for x in "qkvo"}
QKV_BIASES = {f"model.layers.@.self_attn.{x}_proj.bias" for x in "qkv"}
OUTPUT_BIAS = {"model.layers.@.self_attn.o_proj.bias"}
QK_NORMS = {f"model.layers.@.self_attn.{x}_norm.weight" for x in "qk"}
GPT2_NAMES = {f"transformer.h.@.attn.{x}.{y}" for x in ("c_attn", "c_proj") for y in ("weight", "bias")}
GPT_NEO_NAMES = {f"transformer.h.@.attn.attention.{x}_proj.weight" for x in ("q", "k", "v", "out")}
GPT_NEO_NAMES |= {"transformer.h.@.attn.attention.out_proj.bias"}
NEOX_NAMES = {f"gpt_neox.layers.@.attention.{x}.{y}" for x in ("query_key_value", "dense") for y in ("weight", "bias")}
PHI3_NAMES = {f"model.layers.@.self_attn.{x}_proj.weight" for x in ("qkv", "o")}
FALCON_NAMES = {f"transformer.h.@.self_attention.{x}.weight" for x in ("query_key_value", "dense")}
BLOOM_NAMES = FALCON_NAMES | {f"transformer.h.@.self_attention.{x}.bias" for x in ("query_key_value", "dense")}
OPT_NAMES = {
    f"model.decoder.layers.@.self_attn.{x}_proj.{y}" for x in ("q", "k", "v", "out") for y in ("weight", "bias")
}

# model type, options, names of the projections, names of the norms
ARCHITECTURES: list[tuple[str, Mapping[str, Any], set[str], set[str]]] = [
    ("llama", SMALL, SEPARATE, set()),
    ("llama", {**SMALL, "attention_bias": True}, SEPARATE | QKV_BIASES | OUTPUT_BIAS, set()),
    ("mistral", SMALL, SEPARATE, set()),
    ("mixtral", {**SMALL, "num_local_experts": 2}, SEPARATE, set()),
    ("qwen2", SMALL, SEPARATE | QKV_BIASES, set()),
    ("qwen3", {**SMALL, **HEADS}, SEPARATE, QK_NORMS),
    ("gemma", {**SMALL, **HEADS}, SEPARATE, set()),
    ("gemma2", {**SMALL, **HEADS}, SEPARATE, set()),
    ("gemma3_text", {**SMALL, **HEADS}, SEPARATE, QK_NORMS),
    ("cohere", SMALL, SEPARATE, set()),
    ("stablelm", SMALL, SEPARATE, set()),
    ("phi3", SMALL, PHI3_NAMES, set()),
    ("gpt2", GPT2, GPT2_NAMES, set()),
    ("gpt_neo", GPT_NEO, GPT_NEO_NAMES, set()),
    ("gpt_neox", {**FALCON, "intermediate_size": 64}, NEOX_NAMES, set()),
    ("falcon", FALCON, FALCON_NAMES, set()),
    ("bloom", BLOOM, BLOOM_NAMES, set()),
    ("opt", {**OPT, "word_embed_proj_dim": 32}, OPT_NAMES, set()),
]


def meta_shapes(model_type: str, options: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **options))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def both_layers(names: set[str]) -> set[str]:
    return {name.replace("@", layer) for name in names for layer in "01"}


@pytest.mark.parametrize(("model_type", "options", "projections", "norms"), ARCHITECTURES)
def test_attention_is_the_projections_of_every_layer_and_nothing_else(
    model_type: str, options: Mapping[str, Any], projections: set[str], norms: set[str]
) -> None:
    shapes = meta_shapes(model_type, options)
    selected = AttentionSelector().select(shapes)
    assert selected == both_layers(projections)
    assert len(selected) == 2 * len(projections) < len(shapes)
    assert AttentionSelector(norms=True).select(shapes) == both_layers(projections | norms)
    weights = {name for name in projections if name.endswith(".weight")}
    assert AttentionSelector(biases=False).select(shapes) == both_layers(weights)
    assert FullSelector().select(shapes) == set(shapes)


def test_low_rank_projections_and_lists_of_attention_modules() -> None:
    names = [f"model.layers.0.self_attn.1.{x}_proj.weight" for x in ("q_a", "q_b", "kv_b", "o")]
    norm = "model.layers.0.self_attn.1.kv_a_layernorm.weight"
    shapes = dict.fromkeys([*names, norm], (8, 8))
    assert AttentionSelector().select(shapes) == set(names)
    assert AttentionSelector(norms=True).select(shapes) == set(shapes)


@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.0.mlp.c_proj.weight",
        "gpt_neox.layers.0.mlp.dense_h_to_4h.weight",
        "model.layers.0.linear_attn.out_proj.weight",
        "model.layers.0.mamba.out_proj.weight",
        "model.layers.0.self_attn.indexer.k_norm.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.self_attn.sinks",
        "model.layers.0.attention.output.dense.weight",
        "model.vision_tower.encoder.layers.0.self_attn.q_proj.weight",
        "q_proj.weight",
        "attention",
        "",
    ],
)
def test_what_only_looks_like_self_attention_stays_frozen(name: str) -> None:
    assert AttentionSelector(norms=True).select({name: (2, 2)}) == frozenset()


def test_nothing_is_selected_out_of_other_names() -> None:
    assert AttentionSelector().select({}) == frozenset()
    assert FullSelector().select({}) == frozenset()


@given(st.dictionaries(st.text(alphabet=".abq_projn0", max_size=20), st.just((1,)), max_size=20))
def test_a_selection_is_a_subset_and_norms_only_add(shapes: dict[str, tuple[int, ...]]) -> None:
    selected = AttentionSelector().select(shapes)
    assert selected <= set(shapes)
    assert selected <= AttentionSelector(norms=True).select(shapes)
    assert AttentionSelector(biases=False).select(shapes) <= selected
