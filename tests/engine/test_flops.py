"""FLOPs against those that torch counts while a real model runs: equal to the last one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import AutoModelForCausalLM

from langxfer.builtin.selectors import AttentionSelector, FullSelector
from langxfer.data import Side, View
from langxfer.engine import flops, tokens, weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.model_size import ModelSize, Uncountable, model_size, read_config
from langxfer.engine.models import stored_shapes
from langxfer.testing import tiny_model
from tests.engine.made_up import log_probs

FULL = {"layer_types": ["full_attention"] * 2}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {},  # Conv1D, whose weights lie the other way round
    "qwen2": {"tie_word_embeddings": True},  # biases
    "gemma2": {**FULL},  # norms after attention and MLP
    "qwen3": {},  # norms inside attention
    "gpt_neox": {},  # attention and MLP side by side, each with its norm
    "cohere": {},  # side by side, with one norm
    "mixtral": {**EXPERTS},
}
LENGTH, SCORED = 10, [4, 5, 8]
Load = Callable[[str], tuple[nn.Module, ModelSize]]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folders: dict[str, Path] = {}

    def own(name: str, **options: Any) -> tuple[nn.Module, ModelSize]:
        if name not in folders:
            folders[name] = tiny_model(tmp_path_factory.mktemp("model"), name, **MODELS[name])
        eager = {"experts_implementation": "eager"} if name == "mixtral" else {}
        with weights.quiet():
            network = AutoModelForCausalLM.from_pretrained(folders[name], **eager, **options).eval()
        weights.without_dropout(network)
        return network, model_size(shapes(network), read_config(folders[name]))

    return own


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.named_parameters()}


def train_only(network: nn.Module, names: frozenset[str]) -> None:
    for name, value in network.named_parameters():
        value.requires_grad_(name in names)


@contextmanager
def counted(*operations: str) -> Iterator[list[int]]:
    """FLOPs of these operations of torch; the list has the sum afterwards."""
    found: list[int] = []
    with FlopCounterMode(display=False, custom_mapping={torch.ops.mkldnn._linear_pointwise: _onednn}) as counter:
        yield found
    counts = counter.get_flop_counts().get("Global", {})
    found.append(sum(count for name, count in counts.items() if str(name) in operations))


def _onednn(left: Any, weight: Any, *_: Any, **__: Any) -> int:
    """torch counts what it calls by itself, and not this operation that the engine calls."""
    return 2 * left[0] * left[1] * weight[0]


LINEAR = ("aten.mm", "aten.addmm", "mkldnn._linear_pointwise")


def choices(network: nn.Module) -> dict[str, frozenset[str]]:
    """What is trained: as selectors choose, one parameter in the middle, the last of all, and by chance."""
    names, chance = sorted(shapes(network)), random.Random(0)
    found = {
        "attention": AttentionSelector().select(shapes(network)),
        "full": FullSelector().select(shapes(network)),
        "none": frozenset(),
        "norms": frozenset(name for name in names if "norm" in name or "ln_" in name),
    }
    found |= {f"one: {name}": frozenset([name]) for name in names if ".1." in name}
    return found | {f"chance {n}": frozenset(chance.sample(names, 3)) for n in range(6)}


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("name", MODELS)
def test_linear_layers_to_the_last_flop(load: Load, name: str, recompute: bool) -> None:
    network, size = load(name)
    if recompute:
        train_only(network, frozenset())
        weights.recompute_activations(network)
        network.train()
    ids = torch.arange(LENGTH)[None] + 6
    for kind, trained in choices(network).items():
        train_only(network, trained)
        rates = flops.rates_of(size, trained, recompute=recompute)
        with counted(*LINEAR) as forward:
            logits = network(input_ids=ids, use_cache=False, logits_to_keep=torch.tensor(SCORED)).logits
        assert forward == [LENGTH * rates.token_forward + len(SCORED) * rates.head_forward], kind
        with counted(*LINEAR) as backward:
            if trained:
                logits.sum().backward()
        # transformers keeps the logits, which the engine computes once more for a trained head.
        again = 2 * size.head_size if size.head & trained else 0
        assert backward == [LENGTH * rates.token_backward + len(SCORED) * (rates.head_backward - again)], kind


@pytest.mark.parametrize("kind", ["attention", "full"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2"])
def test_the_engines_own_step(load: Load, name: str, kind: str) -> None:
    """One row, [prompt | response | response]: forward and backward together, with the head as the engine has it."""
    network, size = load(name)
    trained = choices(network)[kind]
    train_only(network, trained)
    example = Encoded("a", dict.fromkeys(Side, [6] * 5), dict.fromkeys(View, [7] * 4), dict.fromkeys(Side, 1))
    views = [View.TS, View.TT]
    scorer = Scorer(network, "tree")
    with counted(*LINEAR) as found:
        sum(log_probs(scorer, [example], views).total.values()).sum().backward()
    own = tokens.count([example], views, "tree")
    linear = tokens.Tokens(own.prompt, own.response, scored=own.scored)  # without the pairs
    assert found == [flops.account(linear, flops.rates_of(size, trained)).flops]


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_pairs_cost_what_torch_says_of_attention(load: Load, name: str) -> None:
    _, size = load(name)
    shape, layers = (1, 4, LENGTH, 8), len(size.layers)
    rates = flops.rates_of(size, frozenset(size.before))
    assert LENGTH**2 * rates.pair_forward == layers * sdpa_flop_count(shape, shape, shape)
    assert LENGTH**2 * rates.pair_backward == layers * sdpa_backward_flop_count(shape, shape, shape, shape)


def test_attention_that_is_written_out_has_the_same_forward(load: Load) -> None:
    network, size = load("llama", attn_implementation="eager")
    with torch.no_grad(), counted("aten.bmm") as found:
        network(input_ids=torch.arange(LENGTH)[None], use_cache=False)
    assert found == [LENGTH**2 * flops.rates_of(size, frozenset()).pair_forward]


def test_attention_below_what_is_trained_has_no_backward(load: Load) -> None:
    _, size = load("llama")
    full = flops.rates_of(size, frozenset(size.before)).pair_backward
    first = flops.rates_of(size, frozenset({"model.layers.0.self_attn.k_proj.weight"})).pair_backward
    output = flops.rates_of(size, frozenset({"model.layers.0.self_attn.o_proj.weight"})).pair_backward
    last = flops.rates_of(size, frozenset({"model.layers.1.mlp.up_proj.weight"})).pair_backward
    assert (first, output, last) == (full, full // 2, 0)


@pytest.mark.parametrize("name", MODELS)
def test_files_say_what_the_model_says(load: Load, name: str, tmp_path: Path) -> None:
    """``plan`` reads shapes from files, in which experts may lie one by one."""
    network, size = load(name)
    with weights.quiet():
        network.save_pretrained(tmp_path)
    stored = model_size(stored_shapes(tmp_path), read_config(tmp_path))
    assert flops.rates_of(stored, frozenset()) == flops.rates_of(size, frozenset())
    everything = (frozenset(stored_shapes(tmp_path)), frozenset(shapes(network)))
    assert flops.rates_of(stored, everything[0]) == flops.rates_of(size, everything[1])
    assert stored.largest == size.largest or name == "mixtral"  # which stacks gate and up in memory


def test_adapters_are_counted_too(load: Load) -> None:
    peft = pytest.importorskip("peft")
    network, _ = load("llama")
    config = network.config.to_dict()
    network.requires_grad_(False)
    peft.inject_adapter_in_model(peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]), network)
    trained = frozenset(name for name in shapes(network) if "lora_" in name)
    train_only(network, trained)
    size = model_size(shapes(network), config)
    rates = flops.rates_of(size, trained)
    with counted(*LINEAR) as forward:
        logits = network(input_ids=torch.arange(LENGTH)[None], use_cache=False).logits
    with counted(*LINEAR) as backward:
        logits.sum().backward()
    assert forward == [LENGTH * (rates.token_forward + rates.head_forward)]
    assert backward == [LENGTH * (rates.token_backward + rates.head_backward)]


LLAMA = {"model.embed_tokens.weight": (50, 8), "model.norm.weight": (8,), "lm_head.weight": (50, 8)}
LAYER = {"model.layers.0.self_attn.q_proj.weight": (8, 8), "model.layers.0.mlp.up_proj.weight": (16, 8)}
CONFIG = {"model_type": "llama", "num_attention_heads": 2, "hidden_size": 8}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no layers": (LLAMA, CONFIG, "0 stacks of layers"),
    "a second stack": ({**LLAMA, **LAYER, "vision.blocks.0.attn.qkv.weight": (8, 8)}, CONFIG, "2 stacks of layers"),
    "an unknown matrix": ({**LLAMA, **LAYER, "model.project_in.weight": (8, 4)}, CONFIG, "model.project_in.weight"),
    "experts of unknown number": (
        {**LLAMA, **LAYER, "model.layers.0.mlp.experts.up_proj": (4, 16, 8)},
        {**CONFIG, "num_local_experts": 4},
        "does not say how many",
    ),
    "a convolution": ({**LLAMA, **LAYER, "model.layers.0.mixer.conv1d.weight": (8, 1, 4)}, CONFIG, "3 dimensions"),
    "a recurrent layer": (
        {**LLAMA, **LAYER},
        {**CONFIG, "layer_types": ["linear_attention"]},
        "layers of the kinds linear_attention",
    ),
    "heads by layer": ({**LLAMA, **LAYER}, {**CONFIG, "num_attention_heads": [2, 4]}, "no single number"),
    "no vocabulary": ({**LAYER}, CONFIG, "no head, and 0 embeddings"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_counted_is_refused(why: str) -> None:
    own, config, sentence = REFUSED[why]
    with pytest.raises(Uncountable, match=sentence):
        model_size(own, config)


def test_what_old_files_hold_beside_weights_is_left_out() -> None:
    plain = model_size({**LLAMA, **LAYER}, CONFIG)
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,), "model.layers.0.attn.bias": (1, 1, 64, 64)}
    assert model_size({**LLAMA, **LAYER, **buffers}, CONFIG) == plain


def test_multi_head_latent_attention_has_other_values_than_keys() -> None:
    config = {**CONFIG, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 3}
    size = model_size({**LLAMA, **LAYER}, config)
    assert size.pair_forward == 2 * 2 * (6 + 3)
    assert size.pair_backward == 2 * 2 * (6 + 3 + 3 + 6 + 6)  # scores again, dP, dV, dQ, dK


def test_the_table_is_readable(load: Load) -> None:
    _, size = load("llama")
    own = flops.account(tokens.of_rows([(3, (2, 2))]), flops.rates_of(size, frozenset()))
    assert own == own + flops.Account()
    lines = str(own).splitlines()
    assert [line.split()[0] for line in lines] == ["tokens", "prompt", "response", "head", "total"]
    assert lines[-1].split() == ["total", "5", f"{own.forward:,}", "0"]
