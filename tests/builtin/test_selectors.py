"""The selectors on the parameter names of real architectures, built without weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.parts import EVERY_PROJECTION
from langxfer.builtin.selectors import AttentionSelector, FullSelector, PatternSelector
from langxfer.errors import RecipeError

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


# ---------------------------------------------------------------- projections

LETTERS = dict(zip("qkvo", EVERY_PROJECTION, strict=True))


@given(st.sets(st.sampled_from("qkvo"), min_size=1))
def test_projections_are_chosen_one_by_one(letters: set[str]) -> None:
    shapes = dict.fromkeys(both_layers(SEPARATE | QKV_BIASES | {"model.layers.@.mlp.up_proj.weight"}), (8, 8))
    chosen = tuple(LETTERS[letter] for letter in letters)
    expected = {name for name in shapes if re.search(rf"\.[{''.join(letters)}]_proj\.", name)}
    assert AttentionSelector(projections=chosen).select(shapes) == expected


@pytest.mark.parametrize(
    ("model_type", "options", "fused"),
    [
        ("phi3", SMALL, "model.layers.*.self_attn.qkv_proj"),
        ("gpt2", GPT2, "transformer.h.*.attn.c_attn"),
        ("gpt_neox", {**FALCON, "intermediate_size": 64}, "gpt_neox.layers.*.attention.query_key_value"),
    ],
)
def test_a_part_of_a_fused_projection_is_refused(model_type: str, options: Mapping[str, Any], fused: str) -> None:
    shapes = meta_shapes(model_type, options)
    sentence = f"a part of {fused}, which holds query, key, value in one matrix and cannot be split"
    for wanted in (("query",), ("value", "output"), ("query", "key")):
        with pytest.raises(RecipeError, match=re.escape(sentence)):
            AttentionSelector(projections=wanted).select(shapes)
    whole = AttentionSelector(projections=("value", "key", "query")).select(shapes)
    output = AttentionSelector(projections=("output",)).select(shapes)
    assert whole and output and not whole & output
    assert whole | output == AttentionSelector().select(shapes)


def test_latent_attention_joins_keys_and_values() -> None:
    names = [f"model.layers.0.self_attn.{x}.weight" for x in ("q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")]
    norm = "model.layers.0.self_attn.kv_a_layernorm.weight"
    shapes = dict.fromkeys([*names, norm], (8, 8))
    assert AttentionSelector(projections=("key", "value"), norms=True).select(shapes) == {*names[1:3], norm}
    with pytest.raises(RecipeError, match="holds key, value in one matrix"):
        AttentionSelector(projections=("key",)).select(shapes)


def test_norms_belong_to_their_projections() -> None:
    shapes = meta_shapes("qwen3", {**SMALL, **HEADS})
    selected = AttentionSelector(projections=("query", "output"), norms=True).select(shapes)
    assert selected == both_layers({f"model.layers.@.self_attn.{x}.weight" for x in ("q_proj", "o_proj", "q_norm")})


def test_a_projection_that_is_nowhere_is_named() -> None:
    shapes = dict.fromkeys((f"model.layers.0.self_attn.{x}_proj.weight" for x in "qko"), (8, 8))
    with pytest.raises(RecipeError, match=r"no value projection of its own\. It has: .*k_proj"):
        AttentionSelector(projections=("key", "value")).select(shapes)
    assert AttentionSelector().select(shapes) == set(shapes)


# ---------------------------------------------------------------- layers

TEN = {f"model.layers.{n}.self_attn.q_proj.weight": (8, 8) for n in range(10)}
TEN |= {f"model.layers.{n}.mlp.up_proj.weight": (8, 8) for n in range(10)}
TEN |= {"model.embed_tokens.weight": (9, 8), "model.norm.weight": (8,)}
EDGE = st.integers(0, 9)


@given(st.lists(st.tuples(EDGE, EDGE, st.booleans()), min_size=1, max_size=3))
def test_ranges_hold_both_ends_and_may_count_from_the_end(edges: list[tuple[int, int, bool]]) -> None:
    ordered = [(min(a, b), max(a, b), backward) for a, b, backward in edges]
    ranges = tuple((a - 10, b - 10) if backward else (a, b) for a, b, backward in ordered)
    inside = {number for a, b, _ in ordered for number in range(a, b + 1)}
    names = {f"model.layers.{number}.self_attn.q_proj.weight" for number in inside}
    assert AttentionSelector(layers=ranges).select(TEN) == names
    everywhere = PatternSelector(patterns=(".*",), layers=ranges).select(TEN)
    assert everywhere == names | {name.replace("self_attn.q", "mlp.up") for name in names}


def test_a_range_may_go_from_a_number_to_the_end() -> None:
    assert len(AttentionSelector(layers=((7, -1),)).select(TEN)) == 3
    assert AttentionSelector(layers=((-10, 9),)).select(TEN) == AttentionSelector().select(TEN)


@pytest.mark.parametrize("pair", [(0, 10), (10, 10), (-11, -1), (8, -5)])
def test_a_range_outside_the_model_names_the_number_of_layers(pair: tuple[int, int]) -> None:
    sentence = f"layers {list(pair)} is no range of this model, which has 10 layers: 0 to 9, or -10 to -1 from the end"
    for selector in (AttentionSelector(layers=(pair,)), PatternSelector(patterns=(".*",), layers=(pair,))):
        with pytest.raises(RecipeError, match=re.escape(sentence)):
            selector.select(TEN)


@pytest.mark.parametrize(
    ("ranges", "sentence"), [([[3, 1]], "comes after"), ([[-1, -3]], "comes after"), ([], "empty")]
)
def test_ranges_that_hold_no_layer_are_refused_when_read(ranges: list[list[int]], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        AttentionSelector(layers=ranges)


def test_layers_are_those_of_the_decoder() -> None:
    """A taller picture encoder, and experts within layers, are not counted."""
    towers = {f"model.vision_tower.layers.{n}.self_attn.q_proj.weight": (8, 8) for n in range(30)}
    experts = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": (8, 8) for n in range(40)}
    assert AttentionSelector(layers=((-1, -1),)).select({**towers, **TEN, **experts}) == {
        "model.layers.9.self_attn.q_proj.weight"
    }


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    "patterns",
    [
        [r".*\.mlp\.(up|down)_proj\.weight"],
        [r"model\.layers\.1\..*", r"model\.norm\.weight"],
        [r"(?i).*NORM.*"],
        [r"model\.embed_tokens\.weight", r".*self_attn\.[qk].*"],
    ],
)
def test_a_pattern_selects_what_the_regular_expression_matches(patterns: list[str]) -> None:
    shapes = meta_shapes("llama", SMALL)
    expected = {name for name in shapes if any(re.sub(pattern, "", name, count=1) == "" for pattern in patterns)}
    assert PatternSelector(patterns=patterns).select(shapes) == expected
    assert 0 < len(expected) < len(shapes)


def test_exclusions_are_taken_out() -> None:
    shapes = meta_shapes("qwen2", SMALL)
    selector = PatternSelector(patterns=[".*self_attn.*"], exclude=[r".*\.bias", r".*o_proj.*"])
    assert selector.select(shapes) == both_layers({f"model.layers.@.self_attn.{x}_proj.weight" for x in "qkv"})
    assert PatternSelector(patterns=[".*"], exclude=[".*"]).select(shapes) == frozenset()


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (
            {"patterns": [r".*q_proj\.weight", r"model\.layers\.\d+\.self_atn\.q_proj\.weight"]},
            [
                r'patterns: "model\.layers\.\d+\.self_atn\.q_proj\.weight" matches nothing',
                "layers.0.self_attn.q_proj.weight",
            ],
        ),
        ({"patterns": ["q_proj"]}, ["it has to match a whole name", "self_attn.q_proj.weight"]),
        ({"patterns": [".*norm.*"], "exclude": [".*q_proj.*"]}, ['exclude: ".*q_proj.*" matches nothing', "norm"]),
        (
            {"patterns": [r"lm_head\.weight"]},
            ["no lm_head.weight of its own", "tied to the token embedding", "model.embed_tokens.weight"],
        ),
        (
            {"patterns": [r".*embed.*"], "layers": [(0, 1)]},
            ["match nothing in layers [0, 1]", "model.embed_tokens.weight"],
        ),
    ],
    ids=["misspelt", "part of a name", "exclusion", "tied", "outside the layers"],
)
def test_a_pattern_that_matches_nothing_is_an_error(options: dict[str, Any], sentences: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        PatternSelector(**options).select(meta_shapes("llama", {**SMALL, "tie_word_embeddings": True}))
    assert all(sentence in str(caught.value) for sentence in ('selector "pattern"', *sentences)), caught.value


def test_an_untied_output_layer_has_its_own_name() -> None:
    shapes = meta_shapes("llama", {**SMALL, "tie_word_embeddings": False})
    assert PatternSelector(patterns=[r"lm_head\.weight"]).select(shapes) == {"lm_head.weight"}


@pytest.mark.parametrize("option", ["patterns", "exclude"])
def test_what_is_no_regular_expression_is_refused_when_read(option: str) -> None:
    with pytest.raises(ValidationError, match=r'"\*\.weight" is not a regular expression \(nothing to repeat'):
        PatternSelector(**{"patterns": [".*"], option: ["*.weight"]})


# ---------------------------------------------------------------- advice


def test_attention_alone_is_advised_against_for_low_resource_languages() -> None:
    (warning,) = AttentionSelector().advice(["de", "sw", "yo"])
    for part in ("sw (Swahili, class 2 of 0-5) and yo (Yoruba, class 2", "29.7 %", "69.6 %", "2505.14297, table 4"):
        assert part in warning
    assert "de (" not in warning
    for tags in (["de"], ["zh", "ko", "id"], ["nn"]):
        assert AttentionSelector().advice(tags) == ()
    assert FullSelector().advice(["sw"]) == PatternSelector(patterns=(".*",)).advice(["sw"]) == ()
