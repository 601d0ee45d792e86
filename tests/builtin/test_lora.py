"""LoRA on real architectures: what is adapted, how it starts, what comes out; peft and numpy are the oracles."""

from __future__ import annotations

import json
import math
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from langxfer.builtin import lora
from langxfer.builtin.lora import LoraSelector
from langxfer.engine import plan, weights
from langxfer.engine.selection import chosen
from langxfer.errors import RecipeError
from langxfer.loading import load_recipe
from langxfer.plugins import load as load_plugins
from langxfer.recipe import Compute, Model
from langxfer.testing import check_selector, tiny_model

IDS = torch.arange(5, 25)[None]
LLAMA = {
    **{f"model.layers.{n}.self_attn.{x}_proj": (32, 32) for n in range(2) for x in "qo"},
    **{f"model.layers.{n}.self_attn.{x}_proj": (16, 32) for n in range(2) for x in "kv"},
    **{f"model.layers.{n}.mlp.{x}_proj": (64, 32) for n in range(2) for x in ("gate", "up")},
    **{f"model.layers.{n}.mlp.down_proj": (32, 64) for n in range(2)},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    more = {"opt": {"ffn_dim": 64, "word_embed_proj_dim": 32}, "qwen2": {}, "mixtral": {"num_local_experts": 2}}
    names = ("llama", "gpt2", "phi3", "gpt_neox", *more)
    return {name: tiny_model(tmp_path_factory.mktemp(name), name, **more.get(name, {})) for name in names}


def load(folder: Path) -> nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.named_parameters()}


def logits(network: nn.Module) -> Tensor:
    with torch.no_grad():
        return network(IDS).logits


def log_probs(network: nn.Module) -> Tensor:
    """Of each token after the first, in nats."""
    return logits(network).log_softmax(-1)[0, :-1].gather(-1, IDS[0, 1:, None])[:, 0]


def moved(network: nn.Module, selector: LoraSelector, seed: int = 0) -> dict[str, nn.Parameter]:
    """The trainable parameters of the adapted network, away from their start as a step would move them."""
    parameters = weights.trainable(network, selector, seed)
    generator = torch.Generator().manual_seed(9)
    for value in parameters.values():
        value.data += 0.02 * torch.randn(value.shape, generator=generator)
    return parameters


# ---------------------------------------------------------------- what is adapted


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, r"self_attn"),
        ({"modules": ["mlp"]}, r"mlp"),
        ({"modules": ["attention", "mlp"]}, r""),
        ({"projections": ["query", "value"]}, r"[qv]_proj"),
        ({"layers": [[1, 1]]}, r"layers\.1\.self_attn"),
        ({"layers": [[-1, -1]], "modules": ["mlp"]}, r"layers\.1\.mlp"),
        ({"modules": [], "patterns": [r".*\.(up|q)_proj"]}, r"(up|q)_proj"),
        ({"patterns": [r".*down_proj"], "layers": [[0, 0]]}, r"layers\.0\.(self_attn|mlp\.down)"),
    ],
)
def test_options_choose_the_modules(folders: dict[str, Path], options: dict[str, Any], expected: str) -> None:
    selector = LoraSelector(rank=3, **options)
    network = load(folders["llama"])
    before = shapes_of(network)
    parameters = weights.trainable(network, selector)
    wanted = {name: shape for name, shape in LLAMA.items() if re.search(expected, name)}
    assert {name: tuple(value.shape) for name, value in parameters.items()} == {
        **{f"{name}.lora_A.default.weight": (3, columns) for name, (_, columns) in wanted.items()},
        **{f"{name}.lora_B.default.weight": (rows, 3) for name, (rows, _) in wanted.items()},
    }
    assert selector.adapted(before) == shapes_of(network)
    assert chosen(selector, selector.adapted(before)) == parameters.keys()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3", "gpt_neox", "opt", "qwen2"])
def test_what_the_shapes_tell_is_what_the_network_becomes(folders: dict[str, Path], architecture: str) -> None:
    selector = LoraSelector(rank=2, modules=("attention", "mlp"))
    network = load(folders[architecture])
    before, plain = selector.adapted(shapes_of(network)), logits(network)
    parameters = weights.trainable(network, selector)
    after = shapes_of(network)
    assert before.keys() == after.keys()
    same = {name: math.prod(shape) for name, shape in before.items()}
    added = [name for name in after if "lora" in name]
    assert sum(same[name] for name in added) == sum(math.prod(after[name]) for name in added)
    assert {value.dtype for value in parameters.values()} == {torch.float32}
    assert torch.equal(logits(network), plain)
    assert [name for name, value in network.named_parameters() if value.requires_grad] == list(parameters)
    assert not network.training


@pytest.mark.parametrize(
    ("architecture", "options", "sentence"),
    [
        ("llama", {"patterns": [r"lm_head"]}, "lm_head is not in a decoder layer"),
        ("llama", {"patterns": [r".*embed_tokens"]}, "model.embed_tokens is not in a decoder layer"),
        ("gpt2", {"patterns": [r"transformer\.wte"]}, "transformer.wte is not in a decoder layer"),
        ("llama", {"patterns": [r".*layernorm"]}, "input_layernorm has a weight of shape [32], which is no matrix"),
        ("llama", {"patterns": [r".*up_prj"]}, "The nearest are: model.layers.0.mlp.up_proj"),
        ("llama", {"layers": [[0, 2]]}, "which has 2 layers"),
        ("phi3", {"projections": ["query"]}, "cannot be split"),
        ("mixtral", {"modules": ["mlp"]}, "mlp cannot be adapted in a mixture of experts"),
        ("mixtral", {"modules": [], "patterns": [r".*mlp\.gate"]}, "only linear layers can be adapted"),
    ],
)
def test_what_cannot_be_adapted_is_a_sentence(
    folders: dict[str, Path], architecture: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        weights.trainable(load(folders[architecture]), LoraSelector(**options))


def test_a_part_that_a_model_lacks_is_named_with_what_it_has() -> None:
    shapes = {f"model.layers.0.self_attn.{x}_proj.weight": (8, 8) for x in "qkvo"}
    sentence = r"modules: mlp matches nothing .* Its matrices are: model\.layers\.\*\.self_attn\.k_proj, "
    with pytest.raises(RecipeError, match=sentence):
        LoraSelector(modules=("attention", "mlp")).adapted(shapes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"modules": []}, "nothing would be adapted"),
        ({"modules": ["mlp"], "projections": ["query"]}, "projections has no effect"),
        ({"patterns": ["("]}, "is not a regular expression"),
        ({"rank": 0}, "greater than or equal to 1"),
        ({"dropout": 1.0}, "less than 1"),
    ],
)
def test_options_that_contradict_are_refused_when_read(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        LoraSelector(**options)


def test_the_contract_of_selectors_holds() -> None:
    check_selector(LoraSelector(modules=("attention", "mlp"), rank=4, dropout=0.2, rslora=True))


# ---------------------------------------------------------------- the start


def test_it_starts_as_peft_starts_and_from_the_seed_alone(folders: dict[str, Path]) -> None:
    def start(seed: int) -> dict[str, Tensor]:
        parameters = weights.trainable(load(folders["llama"]), LoraSelector(rank=8), seed)
        return {name: value.detach() for name, value in parameters.items()}

    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = start(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(11)
    again, other = start(0), start(1)
    for name, value in first.items():
        assert torch.equal(value, again[name])
        if ".lora_B." in name:
            assert not value.any()
            continue
        assert not torch.equal(value, other[name])
        bound = 1 / math.sqrt(value.shape[1])  # U(-1/sqrt(in), 1/sqrt(in)), as nn.Linear
        assert 0.9 * bound < value.abs().max() <= bound
        assert value.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_bfloat16_models_have_float32_adapters(folders: dict[str, Path]) -> None:
    folder = folders["llama"]
    network = weights.load_model(
        Model(source=str(folder), dtype="bfloat16"), folder, [], Compute(), torch.device("cpu")
    )
    plain, selector = logits(network), LoraSelector(rank=4)
    parameters = weights.trainable(network, selector, 3)
    exact = weights.trainable(load(folder), selector, 3)
    assert all(torch.equal(value, exact[name]) for name, value in parameters.items())
    assert {value.dtype for value in network.parameters()} == {torch.float32, torch.bfloat16}
    assert torch.equal(logits(network), plain)


# ---------------------------------------------------------------- the result


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_merged_weights_are_the_closed_form(
    folders: dict[str, Path], architecture: str, rslora: bool, tmp_path: Path
) -> None:
    """W + s B A in float64, with s = alpha / rank or alpha / sqrt(rank); transposed where weights are [in, out]."""
    network, plain = load(folders[architecture]), dict(load(folders[architecture]).named_parameters())
    selector = LoraSelector(rank=4, alpha=6, rslora=rslora, modules=("attention", "mlp"))
    parameters = moved(network, selector)
    result = selector.finished(network, parameters, tmp_path)
    assert {name.removesuffix(".weight") for name in result} == selector.targets(
        {name: tuple(value.shape) for name, value in plain.items()}
    )
    for name, value in result.items():
        module = name.removesuffix(".weight")
        down, up = (parameters[f"{module}.lora_{x}.default.weight"].detach().double() for x in "AB")
        delta = 6 / (2 if rslora else 4) * up @ down
        expected = plain[name].double() + (delta.T if architecture == "gpt2" else delta)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3", "gpt_neox", "opt", "qwen2"])
def test_the_merged_model_scores_as_the_adapted_one(
    folders: dict[str, Path], architecture: str, tmp_path: Path
) -> None:
    network, plain = load(folders[architecture]), load(folders[architecture])
    selector = LoraSelector(rank=4, alpha=8, modules=("attention", "mlp"))
    parameters, start = moved(network, selector), log_probs(plain)
    merged, path = selector.finished(network, parameters, tmp_path / "adapter"), tmp_path / weights.TRAINED
    weights.save_trained(merged, path, weights.shapes(plain))
    weights.apply_trained(plain, path)
    adapted = log_probs(network)
    assert (log_probs(plain) - adapted).abs().max() <= 1e-5
    assert (start - adapted).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")  # peft asks by an older name of a property
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_adapter_is_in_peft_s_format(folders: dict[str, Path], architecture: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network, selector = load(folders[architecture]), LoraSelector(rank=4, dropout=0.1, layers=((1, 1),))
    parameters = moved(network, selector)
    result = selector.finished(network, parameters, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert "/" not in (tmp_path / "adapter_config.json").read_text()  # no place of this machine
    loaded = PeftModel.from_pretrained(load(folders[architecture]), tmp_path)
    assert torch.equal(logits(loaded.eval()), logits(network))
    merged = dict(loaded.merge_and_unload().named_parameters())
    for name, value in result.items():
        torch.testing.assert_close(merged[name], value, rtol=0, atol=1e-6)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"], config["peft_type"]) == (4, 32, 0.1, "LORA")
    assert config["fan_in_fan_out"] is (architecture == "gpt2")
    assert config["target_modules"] == sorted(name.removesuffix(".weight") for name in result)


# ---------------------------------------------------------------- without peft, and advice


def test_without_peft_a_plan_says_what_to_install(monkeypatch: pytest.MonkeyPatch, recipe: Path) -> None:
    from langxfer.testing import fakes

    catalog = load_plugins([Path(fakes.__file__)])
    loaded = load_recipe(str(recipe), catalog, ["phases[0].selector=lora"]).recipe
    key = plan.build(loaded).phases[0].train.key

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(lora, "version", lambda name: "99.1.2")
    assert plan.build(loaded).phases[0].train.key != key  # another peft may give other results
    monkeypatch.setattr(lora, "version", absent)
    with pytest.raises(RecipeError, match=r'selector "lora" needs the peft package:  pip install "langxfer\[lora\]"'):
        plan.build(loaded)


def test_advice_is_for_attention_alone() -> None:
    (warning,) = LoraSelector().advice(["sw"])
    assert "table 4" in warning
    assert LoraSelector().advice(["ko"]) == ()
    assert LoraSelector(modules=("attention", "mlp")).advice(["sw"]) == ()
    assert LoraSelector(patterns=(".*up_proj",)).advice(["sw"]) == ()
